"""Rules, surfaces and experiments: edited, checked, tried on the last pages, published, and gone back from.

To publish is to write the file in one step: the gateway follows it, as if an editor had saved it.
"""

from __future__ import annotations

import asyncio
import difflib
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from homefeed.schemas.alone import alone_in
from homefeed.schemas.errors import HomefeedError
from homefeed.schemas.scratch import replacing
from homefeed.serving.audit.versions import KINDS, Version, history, version_of
from homefeed.serving.console.access import Operator
from homefeed.serving.console.desk import Asked, Desk, Done, Facts, NotThere
from homefeed.serving.gateway.policies import Policy, read_policy
from homefeed.serving.policy.rules import PolicyError

LAST_PAGES = 1_000
MAX_TOLD = 4  # Lines that somebody else changed, in a message.
MAX_SHOWN = 10  # Items and pages of a difference.
MAX_TEXT = 500_000
MAX_COMPARED = 250_000  # Pairs of lines.


class ConflictError(HomefeedError, ValueError):
    """Somebody else has published meanwhile."""


def _kind(asked: Asked) -> str:
    kind = asked.get("kind") or KINDS[0]
    if kind not in KINDS:
        raise NotThere(kind)
    return kind


def _draft_path(desk: Desk, version: str) -> pathlib.Path:
    if not version.isalnum():
        raise NotThere(version)
    return desk.jobs.folder / f"draft-{version}.yaml"


async def policies(desk: Desk, asked: Asked) -> Facts:
    """Facts of the page: the text that is edited, what a check says of it, and how it differs from the file."""
    kind = _kind(asked)
    path = desk.home.config.policies[kind]
    if path is None:
        return {"kind": kind, "kinds": KINDS, "file": None}
    current = await asyncio.to_thread(_read, path)
    versions = await asyncio.to_thread(history, desk.home.trail, kind)
    chosen = asked.get("version", "")
    text = await asyncio.to_thread(text_of, desk, chosen, versions) if chosen else current
    version = version_of(text)
    job = desk.jobs.find(f"rules {version} {version_of(current)}")
    (fault, lists), in_force = await _judged(desk, kind, text), desk.home.known.policies.policy
    return {
        "kind": kind,
        "kinds": KINDS,
        "file": path.name,
        "text": text,
        "version": version,
        "current": version_of(current),
        "in_force": in_force.ruling.rules.text_version if kind == "rules" else in_force.versions[kind],
        "fault": fault if text != current else desk.home.known.policies.fault,
        "lists": lists if kind == "rules" else (),
        "lines": _difference(current, text),
        "history": versions,
        "job": job,
        "tried": _tried(desk, job.found) if job and job.found else None,
    }


def _read(path: pathlib.Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def text_of(desk: Desk, version: str, known: Sequence[Version]) -> str:
    """What a version says: one that was in force, or a draft.

    Raises:
        NotThere: it is neither.
    """
    if found := [one.text for one in known if one.version == version]:
        return found[0]
    path = _draft_path(desk, version)
    if not path.is_file():
        raise NotThere(version)
    return path.read_text(encoding="utf-8")


def _difference(before: str, after: str) -> list[tuple[str, str]]:
    """Lines of a unified difference, each with its sign; of a large one, how many lines there are."""
    old, new = before.splitlines(), after.splitlines()
    if len(old) * len(new) > MAX_COMPARED:  # Pages wait meanwhile, and it grows with the square.
        return [("-", f"-{len(old):,} lines"), ("+", f"+{len(new):,} lines")] if old != new else []
    lines = difflib.unified_diff(old, new, lineterm="", n=2)
    return [(line[:1], line) for line in lines if not line.startswith(("---", "+++"))]


def _tried(desk: Desk, found: dict[str, Any]) -> Facts:
    def titled(counts: dict[str, int]) -> list[tuple[str, str, int]]:
        return [(item, desk.title(item), count) for item, count in list(counts.items())[:MAX_SHOWN]]

    return {
        "pages": found["pages"],
        "changed": len(found["changes"]),
        "set_aside": sum(bool(change["set_aside"]) for change in found["changes"]),
        "gone": titled(found["gone"]),
        "come": titled(found["come"]),
        "examples": found["changes"][:MAX_SHOWN],
    }


async def policy_with(desk: Desk, kind: str, text: str) -> Policy:
    """What would be in force, were a file to say this.

    Raises:
        PolicyError: it cannot be.
    """
    draft = _draft_path(desk, version_of(text))
    await asyncio.to_thread(draft.write_bytes, text.encode())
    in_force = desk.home.config.policies
    files, published = in_force | {kind: draft}, desk.home.known.published
    folder = in_force["rules"].parent if in_force["rules"] else None  # The lists stay where they are.
    return await asyncio.to_thread(
        read_policy, files["rules"], files["surfaces"], published, files["experiments"], folder
    )


async def _judged(desk: Desk, kind: str, text: str) -> tuple[str, Sequence[str]]:
    """Why a text cannot be in force ("": it can), and the files that rules name in it."""
    try:
        return "", [*(await policy_with(desk, kind, text)).ruling.rules.lists]
    except PolicyError as error:
        return str(error).replace(f"{desk.jobs.folder}/", ""), []


def _text(said: Asked) -> str:
    """Browsers send lines that end as on Windows."""
    text = said.get("text", "")
    if len(text) > MAX_TEXT:
        raise PolicyError(
            f"it has {len(text):,} characters; expected at most {MAX_TEXT:,}: name files of ids instead"
        )
    return text.replace("\r\n", "\n")


async def check(desk: Desk, operator: Operator, said: Asked) -> Done:
    """Keeps a draft, which the page then shows with what is wrong with it, and how it differs."""
    kind, text = _kind(said), _text(said)
    await _judged(desk, kind, text)
    return Done("", "", "rules", {"kind": kind, "version": version_of(text)})


async def dry_run(desk: Desk, operator: Operator, said: Asked) -> Done:
    """Starts to make the last pages again under rules that are not in force."""
    text, config = _text(said), desk.home.config
    path = config.policies["rules"]
    if path is None or _kind(said) != "rules" or (await _judged(desk, "rules", text))[0]:
        return await check(desk, operator, said)
    version, current = version_of(text), await asyncio.to_thread(_read, path)
    surfaces = ["--surfaces", str(config.surfaces)] if config.surfaces else []
    picks = await asyncio.to_thread(_picks, desk, config.picks)
    arguments = ["--dry-run", str(_draft_path(desk, version)), "--rules", str(path), *surfaces, *picks]
    last = ["--root", str(desk.root), "--last", str(LAST_PAGES)]
    desk.jobs.start(f"rules {version} {version_of(current)}", "page", "rules", *arguments, *last)
    return Done("", "", "rules", {"kind": "rules", "version": version})


def _picks(desk: Desk, picks: Sequence[str]) -> list[str]:
    path = desk.jobs.folder / "picks.txt"
    path.write_text("\n".join(picks), encoding="utf-8")
    return ["--picks", str(path)] if picks else []


async def publish(desk: Desk, operator: Operator, said: Asked) -> Done:
    """Writes a file, if it can be in force and nobody has changed it since it was read.

    Raises:
        PolicyError: it cannot be in force.
        ConflictError: somebody has.
    """
    kind, text = _kind(said), _text(said)
    path = desk.home.config.policies[kind]
    if path is None:
        raise NotThere(kind)
    policy = await policy_with(desk, kind, text)
    facts: dict[str, Any] = {"version": version_of(text), "before": said.get("current", ""), "text": text}
    if kind == "rules" and policy.ruling.rules.lists:
        facts["lists"] = dict(policy.ruling.rules.lists)
    await asyncio.to_thread(_publish, desk, kind, path, facts, operator.name)
    return Done("published", f"{kind} {version_of(text)}", "rules", {"kind": kind})


def _publish(desk: Desk, kind: str, path: pathlib.Path, facts: Mapping[str, Any], who: str) -> None:
    """Other consoles may publish to the same file: from the look at it until it is written, none else does."""
    with alone_in(path.resolve().parent):
        there = _read(path)
        if version_of(there) != facts["before"]:
            raise ConflictError(_changes(path, there, facts["before"], history(desk.home.trail, kind)))
        with desk.home.trail.change("publish", who, subject=kind, **facts):
            _write(path.resolve(), facts["text"])


def _changes(path: pathlib.Path, there: str, read: str, versions: Sequence[Version]) -> str:
    """What somebody else has changed in a file since a version was read."""
    texts = {one.version: one for one in versions}
    lines = [line for sign, line in _difference(texts[read].text, there) if sign in "+-"] if read in texts else []
    by = texts[version_of(there)].who if version_of(there) in texts else "somebody else"
    more = f", and {len(lines) - MAX_TOLD} lines more" if len(lines) > MAX_TOLD else ""
    told = f" ({'; '.join(lines[:MAX_TOLD])}{more})" if lines else ""
    return f"{path.name} was changed by {by}, and is {version_of(there)} now{told}: look at it and try again"


def _write(path: pathlib.Path, text: str) -> None:
    with replacing(path) as staging:
        staging.write_bytes(text.encode())
        if path.exists():
            shutil.copymode(path, staging)
