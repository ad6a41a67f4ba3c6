"""What people decided of items that wait for them: a file of one JSON object a line, of which the last one counts."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import shutil
from collections.abc import Iterable
from typing import Literal, get_args

from homefeed.schemas.alone import alone_in
from homefeed.schemas.scratch import replacing
from homefeed.serving.policy.errors import PolicyError

Verdict = Literal["accepted", "refused"]


def read_reviews(path: pathlib.Path) -> dict[str, Verdict]:
    """Item id → what was decided last; nothing, where nobody has decided yet.

    Raises:
        PolicyError: the file cannot be read, or a line says something else.
    """
    return parse_reviews(path, read_content(path))


def read_content(path: pathlib.Path) -> bytes:
    """What a file of verdicts holds; nothing, where there is none yet.

    Raises:
        PolicyError: it cannot be read.
    """
    try:
        return path.read_bytes() if path.exists() else b""
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
    """Adds verdicts, all or none, whatever the disk does; who follows the file sees them within seconds."""
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    rows = [{"item_id": item_id, "verdict": verdict, "at": at, **({"why": why} if why else {})} for item_id in items]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    place = path.resolve()
    with alone_in(place.parent):
        there = read_content(place)
        between = b"" if there.endswith(b"\n") or not there else b"\n"
        with replacing(place) as staging:
            with staging.open("wb") as file:
                file.write(there + between + text.encode())
                file.flush()
                os.fsync(file.fileno())
            if place.exists():
                shutil.copymode(place, staging)
