"""Events as other systems name them, read as our own."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from homefeed.serving.gateway.schema import EventIn, Rejected, read_event

Own = dict[str, Any]  # The fields of an `EventIn`, with any values.


class Unreadable(ValueError):  # noqa: N818  It is an answer.
    """A field has no meaning here.

    Args:
        field: as the sender calls it.
        reason: why not, and what was expected.
    """

    def __init__(self, field: str, reason: str):
        super().__init__(reason)
        self.fault = Rejected(field=field, reason=reason)


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How another system's events become ours.

    Attributes:
        translate: an event of theirs → the fields of ours; values are judged afterwards, as ours are.
        names: field of ours → what they call it, for answers.
    """

    translate: Callable[[Mapping[str, Any]], Own]
    names: Mapping[str, str]

    def read(self, said: Any, now: float) -> EventIn | Rejected:
        """An event of theirs, or the first field that is wrong, as they call it, and why."""
        if not isinstance(said, dict):
            return Rejected(field="event", reason="expected an object")
        try:
            own = self.translate(said)
        except Unreadable as error:
            return error.fault
        found = read_event({name: value for name, value in own.items() if value is not None}, now)
        if isinstance(found, EventIn):
            return found
        return Rejected(field=self.names.get(found.field, found.field), reason=found.reason)


def part(said: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """An object within an object; empty if it is not there.

    Raises:
        Unreadable: something else is in its place.
    """
    found: Any = said
    for place, name in enumerate(path, 1):
        found = found.get(name)
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise Unreadable(".".join(path[:place]), "expected an object")
    return found


def digest(said: Mapping[str, Any]) -> str:
    """A name for an event that has none: the same body is the same event, in whatever order its fields stand.

    Raises:
        Unreadable: it cannot be written as JSON.
    """
    try:
        return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
    except TypeError as error:
        raise Unreadable("event", f"is no JSON: {error}") from error


def unix_seconds(field: str, said: Any) -> int | None:
    """ISO 8601 → Unix seconds; without a zone it is UTC; None stays None.

    Raises:
        Unreadable: it is no such time.
    """
    if said is None:
        return None
    try:
        at = datetime.datetime.fromisoformat(said)
        return int((at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp())
    except (TypeError, ValueError, OverflowError):
        raise Unreadable(field, "expected a time of ISO 8601, such as 2026-01-31T12:00:00Z") from None


def identifier(said: Any) -> Any:
    """An id that may be a number."""
    return str(said) if type(said) is int else said


def place(ordinal: Any) -> Any:
    """A place counted from 1 → from 0."""
    return ordinal - 1 if type(ordinal) is int and ordinal > 0 else ordinal
