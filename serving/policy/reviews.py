"""What people decided of items that wait for them: a file of one JSON object a line, of which the last one counts."""

from __future__ import annotations

import datetime
import json
import pathlib
from collections.abc import Iterable
from typing import Literal, get_args

from homefeed.serving.policy.errors import PolicyError

Verdict = Literal["accepted", "refused"]


def read_reviews(path: pathlib.Path) -> dict[str, Verdict]:
    """Item id → what was decided last; nothing, where nobody has decided yet.

    Raises:
        PolicyError: the file cannot be read, or a line says something else.
    """
    try:
        return parse_reviews(path, path.read_bytes() if path.exists() else b"")
    except OSError as error:
        raise PolicyError(f"{path} cannot be read: {error}; expected a line of JSON for each verdict") from error


def parse_reviews(path: pathlib.Path, content: bytes) -> dict[str, Verdict]:
    """As `read_reviews`, of what was read of a file.

    Raises:
        PolicyError: a line says something else.
    """
    try:
        lines = content.decode().split("\n")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path} cannot be read: {error}; expected a line of JSON for each verdict") from error
    found: dict[str, Verdict] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            item_id, verdict = _read(path, number, line)
            found[item_id] = verdict
    return found


def _read(path: pathlib.Path, number: int, line: str) -> tuple[str, Verdict]:
    try:
        said = json.loads(line)
        item_id, verdict = said["item_id"], said["verdict"]
    except (ValueError, TypeError, KeyError):
        item_id = verdict = None
    if not isinstance(item_id, str) or verdict not in get_args(Verdict):
        # Not what the line says: the file may be another than was meant.
        raise PolicyError(
            f'{path}:{number} is no verdict; expected {{"item_id": "…", "verdict": "accepted"}}, or refused'
        )
    return item_id, verdict


def write_reviews(path: pathlib.Path, items: Iterable[str], verdict: Verdict, why: str = "") -> None:
    """Appends verdicts, all or none; who follows the file sees them within seconds."""
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    rows = [{"item_id": item_id, "verdict": verdict, "at": at, **({"why": why} if why else {})} for item_id in items]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size:
        text = "\n" + text
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
