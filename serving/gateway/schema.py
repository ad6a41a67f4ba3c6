"""What the gateway is told and asked, field by field with its limits."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NamedTuple

import pydantic
from pydantic import Field

from homefeed.serving.policy.surfaces import HOME
from homefeed.serving.profiles.live import FEEDBACK, LiveEvent

MAX_EVENTS = 500
MAX_FEATURES = 32
CLOCK_SECONDS = 300  # How far a caller's clock may be ahead.
GUEST = "guest:"
NEEDS_ITEM = (*FEEDBACK, "undo")

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("control characters are not allowed")
    return text


Id = Annotated[str, Field(min_length=1, max_length=128), pydantic.AfterValidator(_printable)]
Word = Annotated[str, Field(min_length=1, max_length=64), pydantic.AfterValidator(_printable)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Query = Annotated[str, Field(max_length=500)]


def _no_guest(user_id: str) -> str:
    if user_id.startswith(GUEST):
        raise ValueError(f"ids of users do not begin with {GUEST!r}; send guests by `session_id`")
    return user_id


UserId = Annotated[Id, pydantic.AfterValidator(_no_guest)]


class Settings(pydantic.BaseModel):
    """What a user chooses."""

    model_config = pydantic.ConfigDict(extra="forbid")

    personalised: bool | None = None
    language: Literal["en", "zh"] | None = None


class EventIn(pydantic.BaseModel):
    """Something that a user or guest did. `type` is free; `hide`, `not_for_me`, `like`, `undo`, `search`, `settings`
    and `remove_tag` act at once."""

    model_config = pydantic.ConfigDict(extra="forbid")

    event_id: Id
    user_id: UserId | None = None
    session_id: Id | None = None
    type: Word
    item_id: Id | None = None
    at: Annotated[int, Field(ge=1, le=2**33)] | None = None  # Unix seconds; None: now.
    value: Number | None = None
    query: Query = ""
    tag: Annotated[str, Field(max_length=64)] = ""
    impression_id: Annotated[str, Field(max_length=128)] = ""
    token: Annotated[str, Field(max_length=256)] = ""  # Of the page, as it was answered.
    position: Annotated[int, Field(ge=0, le=100_000)] | None = None
    settings: Settings | None = None
    features: Annotated[dict[Word, Word | Number], Field(max_length=MAX_FEATURES)] = {}

    @pydantic.model_validator(mode="after")
    def _check(self) -> EventIn:
        needs = {"search": "query", "settings": "settings", "remove_tag": "tag"} | dict.fromkeys(
            NEEDS_ITEM, "item_id"
        )
        if (self.user_id is None) == (self.session_id is None):
            raise ValueError("user_id: give either user_id or session_id")
        if (needed := needs.get(self.type)) and not getattr(self, needed):
            raise ValueError(f"{needed}: an event of type {self.type} needs it")
        return self

    def who(self) -> str:
        """The user, or the guest."""
        return who(self.user_id, self.session_id)


class Rejected(pydantic.BaseModel):
    """Why an event cannot be stored."""

    field: str
    reason: str


class Batch(pydantic.BaseModel):
    """Events in the order in which they happened."""

    model_config = pydantic.ConfigDict(extra="forbid")

    # Each is judged by itself, so that a wrong one takes no other with it.
    events: Annotated[list[pydantic.SkipValidation[EventIn]], Field(min_length=1, max_length=MAX_EVENTS)]


class SegmentBatch(pydantic.BaseModel):
    """Segment's calls of `batch`, and when they were sent."""

    model_config = pydantic.ConfigDict(extra="ignore")

    batch: Annotated[list[Any], Field(min_length=1, max_length=MAX_EVENTS)]


class EventAnswer(NamedTuple):
    """What became of an event."""

    event_id: str | None
    status: Literal["accepted", "duplicate", "rejected", "valid"]
    version: int | None = None  # Of the user's profile now: a page of this version or a later one knows the event.
    attributed: bool | None = None  # Whether its token is good; None: it had none.
    field: str | None = None
    reason: str | None = None

    def told(self) -> dict[str, Any]:
        """The fields that say something."""
        return {name: value for name, value in zip(self._fields, self, strict=True) if value is not None}


class Login(pydantic.BaseModel):
    """A guest turns out to be a user."""

    model_config = pydantic.ConfigDict(extra="forbid")

    session_id: Id
    user_id: UserId


class Ask(pydantic.BaseModel):
    """What a page is asked for with."""

    model_config = pydantic.ConfigDict(extra="forbid")

    user_id: UserId | None = None
    session_id: Id | None = None  # Neither: a stranger, who is given one in the answer.
    surface: Word = HOME
    k: Annotated[int, Field(ge=1, le=50)] | None = None  # Cards of a row; None: as the surface says.
    query: Query = ""
    item_id: Id | None = None  # That the page is about.
    after: Annotated[str, Field(max_length=64)] = ""  # `impression_id` of the page that is scrolled on from.

    @pydantic.model_validator(mode="after")
    def _check(self) -> Ask:
        if self.user_id is not None and self.session_id is not None:
            raise ValueError("user_id: give either user_id or session_id")
        return self

    def who(self) -> str:
        """The user or guest."""
        return who(self.user_id, self.session_id)


class AskWhy(pydantic.BaseModel):
    """Who asks why a card was on their page."""

    model_config = pydantic.ConfigDict(extra="forbid")

    user_id: UserId | None = None
    session_id: Id | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> AskWhy:
        if (self.user_id is None) == (self.session_id is None):
            raise ValueError("user_id: give either user_id or session_id, of whose page it was")
        return self

    def who(self) -> str:
        """The user or guest."""
        return who(self.user_id, self.session_id)


def who(user_id: str | None, session_id: str | None) -> str:
    """One name for a user or a guest."""
    return user_id if user_id is not None else f"{GUEST}{session_id}"


def read_event(said: Any, now: float) -> EventIn | Rejected:
    """An event as it was sent, or the first field that is wrong, and why."""
    try:
        event = EventIn.model_validate(said)
    except pydantic.ValidationError as error:
        return rejected(error)
    if event.at is not None and event.at > now + CLOCK_SECONDS:
        return Rejected(
            field="at", reason=f"is {event.at - int(now)} seconds in the future; mind the clock, or ms for s"
        )
    return event


def rejected(error: pydantic.ValidationError) -> Rejected:
    """The first field that is wrong, and why."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    reason = fault["msg"].removeprefix("Value error, ")
    if fault["loc"]:
        return Rejected(field=".".join(map(readable, fault["loc"])) or "event", reason=reason)
    field, found, rest = reason.partition(": ")
    return Rejected(field=field, reason=rest) if found else Rejected(field="event", reason=reason)


def readable(part: int | str) -> str:
    """A part of a field's name, which may be anything that was sent."""
    return str(part).encode("utf-8", "replace").decode()[:64]


def live_event(
    event: EventIn, user: str, received: float, tags: tuple[str, ...], shown: str | None = None
) -> LiveEvent:
    """The stored form.

    Args:
        event: as it was sent.
        user: what the user is called inside.
        received: when it arrived, Unix seconds.
        tags: interests of its item or query.
        shown: the page where it happened, if that is proved.
    """
    chosen = event.settings.model_dump(exclude_none=True) if event.settings else {}
    return LiveEvent(
        event.event_id,
        user,
        event.type,
        event.at or int(received),
        int(received * 1000),
        event.item_id or "",
        event.value,
        event.query,
        event.tag,
        shown or event.impression_id,
        event.position,
        tags,
        chosen,
        event.features,
        shown is not None,
    )
