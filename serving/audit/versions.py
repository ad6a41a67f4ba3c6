"""Versions of rules, surfaces and experiments that were in force: their texts stand in the audit trail."""

from __future__ import annotations

import hashlib
import pathlib
import types
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from homefeed.serving.audit.trail import Trail, Wanted

KINDS = ("rules", "surfaces", "experiments")
MAX_VERSIONS = 50


class Version(NamedTuple):
    """What a file said.

    Attributes:
        at: Unix milliseconds since when.
        who: put it there: who published it, or `gateway`, which found it.
        version: of the content.
        text: the content.
        lists: files that it names.
    """

    at: int
    who: str
    version: str
    text: str
    lists: Sequence[str] = ()


def version_of(text: str) -> str:
    """As `read_yaml` names a file's content."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def note_in_force(
    trail: Trail,
    kind: str,
    path: pathlib.Path,
    version: str,
    text_version: str = "",
    lists: Mapping[str, str] = types.MappingProxyType({}),
) -> None:
    """Writes that a file's version is in force, unless that was the last to be so.

    Args:
        trail: where it is written.
        kind: of the file.
        path: of the file.
        version: as pages name it.
        text_version: of its content alone; "": `version` is that.
        lists: name of each file that it names → version of that one's content.

    Raises:
        AuditError: it is not on disk.
    """
    last = trail.entries(Wanted(what=["in force"], subject=kind, limit=1))
    text = path.read_text(encoding="utf-8")
    if version_of(text) == (text_version or version) and (not last or last[0].details["version"] != version):
        named: dict[str, Any] = {"lists": dict(lists)} if lists else {}
        trail.add("in force", "gateway", subject=kind, version=version, text=text, **named)


def history(trail: Trail, kind: str) -> list[Version]:
    """What was in force or published, newest first; each text once, by whom it came first.

    Raises:
        AuditError: the trail cannot be read.
    """
    found = dict[str, Version]()
    wanted = Wanted(what=["publish", "in force"], subject=kind, limit=2 * MAX_VERSIONS)
    for entry in reversed([one for one in trail.entries(wanted) if "outcome" not in one.details]):
        text, lists = entry.details["text"], tuple(entry.details.get("lists", ()))
        version = Version(entry.at, entry.who, version_of(text), text, lists)
        first = found.pop(version.version, version)
        found[version.version] = version._replace(who=first.who)
    return list(reversed(found.values()))[:MAX_VERSIONS]
