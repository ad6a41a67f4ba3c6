"""Live profiles: what a user did since the last push, as a pure function of their events in the order of arrival.

The same events give the same bytes, whatever transactions they arrived in: every step is bounded and rounded by
itself. What the data knew at the last push is not copied in here; a page reads it from the published store beside.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

MAX_RECENT, MAX_TAGS, MAX_HIDDEN = 50, 24, 100
MAX_BYTES = 1_300  # Of a state: three users fit on one of SQLite's pages, below 2 kB each with their keys.
HALF_LIFE_SECONDS = 14 * 86_400  # Of an interest.
HOUR_SECONDS = 3_600  # Interests fade once an hour, so that most events change only what they are about.
FAINTEST = 0.001  # A weaker interest is none.
WEIGHTS = {"like": 3.0, "purchase": 4.0, "buy": 4.0, "hide": -1.0, "not_for_me": -3.0}
"""What an event says about the interests in its item's tags; 1 where nothing is said here."""

HIDING = ("hide", "not_for_me")
FEEDBACK = ("like", *HIDING)
"""What `undo` takes back."""
IMPRESSION = "impression"
"""Something was seen: no sign of a taste, and no reason not to show it again."""
COMMANDS = ("undo", "settings", "remove_tag")
"""Types of events that change a profile and say nothing about a taste."""
NEWEST_EVENTS = 1_000  # In which one looks for what was only seen: a page costs no more than that.
NOT_SEEN = (*COMMANDS, *HIDING, "search", IMPRESSION)
"""Types of events after which an item may still come."""

LATE_SECONDS = 86_400
"""An event that comes later than that is history: a clock that is wrong would make an item look old."""


class Happened(NamedTuple):
    """An item that somebody took.

    Attributes:
        item_id: the item.
        at: when, Unix seconds.
        user_id: who, for one who counts people; "" where each was told once.
    """

    item_id: str
    at: int
    user_id: str = ""


Setting = bool | str
Packed = list[Any]
"""Item, type and time of an event, seconds after the profile's `as_of`; its value and tags where there are any."""

_time = operator.itemgetter(2)


@dataclasses.dataclass(frozen=True)
class LiveEvent:
    """Something that a user did, as it is stored.

    Attributes:
        event_id: the caller's name of it; a second one of the same name is not counted.
        user_id: who; a pseudonym where the data has a key.
        type: what was done. `hide`, `not_for_me`, `like`, `undo`, `search`, `settings` and `remove_tag` are known;
            any other, such as the types of the interactions table, is something done with an item.
        at: when, Unix seconds.
        received_at: when it arrived, Unix milliseconds.
        item_id: with what; "": with no item.
        value: rating, dwell seconds, price; None: none.
        query: what was searched for.
        tag: the interest that `remove_tag` removes.
        impression_id: of the page where it happened, and the place on it from 0.
        tags: interests of the item or query, as the catalogue had them on arrival.
        settings: those that `settings` changes.
        features: declared event feature → value.
        attributed: whether a token proved that the user was shown that page.
    """

    event_id: str
    user_id: str
    type: str
    at: int
    received_at: int = 0
    item_id: str = ""
    value: float | None = None
    query: str = ""
    tag: str = ""
    impression_id: str = ""
    position: int | None = None
    tags: tuple[str, ...] = ()
    settings: Mapping[str, Setting] = dataclasses.field(default_factory=dict)
    features: Mapping[str, str | float] = dataclasses.field(default_factory=dict)
    attributed: bool = False


class Recent(NamedTuple):
    """One of the newest events with an item."""

    item_id: str
    type: str
    at: int
    value: float | None = None
    tags: Sequence[str] = ()  # Kept where `undo` needs them: of feedback.


@dataclasses.dataclass(frozen=True)
class LiveProfile:
    """What is known of a user since the last push.

    Attributes:
        version: number of events that made it.
        packed: the newest events with an item, oldest first; ties in the order of arrival. An event adds one and
            changes no other, so that they are unpacked only where somebody reads them: `recent`.
        as_of: the hour, Unix seconds, at which the weights of the interests hold.
        tags: interest → weight, negative for a dislike.
        hidden: items that must not be shown, in the order in which they were hidden.
        settings: what the user chose, such as `personalised`.
    """

    version: int = 0
    packed: tuple[Packed, ...] = ()
    as_of: int = 0
    tags: Mapping[str, float] = dataclasses.field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    settings: Mapping[str, Setting] = dataclasses.field(default_factory=dict)

    @property
    def recent(self) -> tuple[Recent, ...]:
        """The newest events with an item, oldest first."""
        return tuple(Recent(item, kind, self.as_of + at, *rest) for item, kind, at, *rest in self.packed)

    @property
    def is_personalised(self) -> bool:
        """Whether the user wants a page of their own."""
        return self.settings.get("personalised", True) is not False

    def history(self) -> list[Recent]:
        """What speaks for a taste: no feedback against an item, and nothing that was hidden later."""
        hidden = set(self.hidden)
        return [event for event in self.recent if event.type not in HIDING and event.item_id not in hidden]

    def encode(self) -> bytes:
        """The stored form, without the version. Equal profiles give equal bytes."""
        return self._state

    @functools.cached_property
    def _state(self) -> bytes:  # Its size is looked at with every event, and then it is written.
        state = [self.as_of, self.packed, self.tags, self.hidden, self.settings]
        return orjson.dumps(state, option=orjson.OPT_SORT_KEYS)

    @staticmethod
    def decode(version: int, state: bytes) -> LiveProfile:
        """The inverse of `encode`."""
        as_of, packed, tags, hidden, settings = orjson.loads(state)
        return LiveProfile(version, tuple(packed), as_of, tags, tuple(hidden), settings)


def _packed(event: LiveEvent, as_of: int) -> Packed:
    tags = [list(event.tags)] if event.tags and event.type in FEEDBACK else []
    value = [event.value] if tags or event.value is not None else []
    return [event.item_id, event.type, event.at - as_of, *value, *tags]


def apply(profile: LiveProfile, event: LiveEvent) -> LiveProfile:
    """The profile after one more event; what was only seen says nothing."""
    if event.type == IMPRESSION:
        return profile
    changed = _changed(profile, event)
    return _bounded(dataclasses.replace(changed, version=profile.version + 1))


def _changed(profile: LiveProfile, event: LiveEvent) -> LiveProfile:
    if event.type == "settings":
        return dataclasses.replace(profile, settings={**profile.settings, **event.settings})
    if event.type == "remove_tag":
        return dataclasses.replace(profile, tags={n: w for n, w in profile.tags.items() if n != event.tag})
    if event.type == "undo":
        return _undone(profile, event)
    profile = _faded(profile, event.at)
    tags = _weighed(profile, event.tags, weight(event.type), event.at)
    if not event.item_id:
        return dataclasses.replace(profile, tags=tags)
    packed = sorted([*profile.packed, _packed(event, profile.as_of)], key=_time)  # Stable: ties as they arrived.
    hidden = profile.hidden
    if event.type in HIDING:
        hidden = (*(item for item in hidden if item != event.item_id), event.item_id)[-MAX_HIDDEN:]
    return dataclasses.replace(profile, packed=tuple(packed[-MAX_RECENT:]), tags=tags, hidden=hidden)


def ruled_out(
    log: Iterable[tuple[str, str]], seen: Iterable[str] = (), hidden: Iterable[str] = ()
) -> tuple[list[str], list[str]]:
    """Items that must not be shown again: seen, and hidden and not undone. A profile remembers only the newest.

    Args:
        log: item and type of a user's events, in the order of arrival.
        seen, hidden: what the events before these ruled out.
    """
    were_seen, are_hidden = dict.fromkeys(seen), dict.fromkeys(hidden)
    for item_id, kind in log:
        if kind in HIDING:
            are_hidden[item_id] = None
        elif kind == "undo":
            are_hidden.pop(item_id, None)
        elif item_id and kind not in NOT_SEEN:
            were_seen[item_id] = None
    return list(were_seen), list(are_hidden)


def only_seen(log: Sequence[tuple[str, str, int]]) -> list[tuple[str, float]]:
    """Item and Unix seconds of each time that something was only seen, among a user's newest events.

    Args:
        log: item, type and Unix seconds of events, in the order of arrival.
    """
    return [(item_id, float(at)) for item_id, kind, at in log[-NEWEST_EVENTS:] if kind == IMPRESSION]


def excluded(log: Iterable[tuple[str, str]], seen: Iterable[str] = (), hidden: Iterable[str] = ()) -> set[str]:
    """What is `ruled_out`, for whatever reason."""
    return set().union(*ruled_out(log, seen, hidden))


def counts(event_type: str, item_id: str, at: int, received_at: int) -> bool:
    """Whether an event says that somebody took an item just now.

    Args:
        event_type, item_id: of the event.
        at: when it happened, Unix seconds.
        received_at: when it arrived, Unix milliseconds.
    """
    return bool(item_id) and event_type not in NOT_SEEN and at * 1000 >= received_at - LATE_SECONDS * 1000


def weight(event_type: str) -> float:
    """What one event adds to an interest."""
    return WEIGHTS.get(event_type, 1.0)


def decay(seconds: float) -> float:
    """What is left of an interest after a time.

    >>> decay(HALF_LIFE_SECONDS)
    0.5
    """
    return float(2.0 ** (-seconds / HALF_LIFE_SECONDS))


def _faded(profile: LiveProfile, at: int) -> LiveProfile:
    """The profile as of the hour of a time, unless it is so already."""
    passed = at - at % HOUR_SECONDS - profile.as_of
    if passed <= 0:
        return profile
    left = decay(passed)
    weights = {name: round(value * left, 4) for name, value in profile.tags.items()}
    packed = tuple([item, kind, at - passed, *rest] for item, kind, at, *rest in profile.packed)
    return dataclasses.replace(profile, packed=packed, as_of=profile.as_of + passed, tags=_felt(weights))


def _weighed(profile: LiveProfile, tags: Iterable[str], amount: float, at: int) -> Mapping[str, float]:
    """The interests, with an amount that was given to some of them at a time."""
    weights, now = dict(profile.tags), amount * decay(profile.as_of - at)
    for name in tags:
        weights[name] = round(weights.get(name, 0.0) + now, 4)
    return _felt(weights)


def _felt(weights: Mapping[str, float]) -> Mapping[str, float]:
    """The strongest interests, if they can be felt."""
    felt = {name: value for name, value in weights.items() if abs(value) >= FAINTEST}
    return _strongest(felt, MAX_TAGS) if len(felt) > MAX_TAGS else felt


def _undone(profile: LiveProfile, event: LiveEvent) -> LiveProfile:
    """Without the last feedback on an item: shown again, and its weight taken off the interests."""
    mine = [(n, e) for n, e in enumerate(profile.recent) if e.item_id == event.item_id and e.type in FEEDBACK]
    if not mine:
        return dataclasses.replace(profile, hidden=tuple(i for i in profile.hidden if i != event.item_id))
    place, last = mine[-1]
    tags = _weighed(profile, last.tags, -weight(last.type), last.at)
    still = any(e.type in HIDING for _, e in mine[:-1])
    hidden = profile.hidden if still else tuple(item for item in profile.hidden if item != event.item_id)
    packed = (*profile.packed[:place], *profile.packed[place + 1 :])
    return dataclasses.replace(profile, packed=packed, tags=tags, hidden=hidden)


def _bounded(profile: LiveProfile) -> LiveProfile:
    """Within MAX_BYTES, by leaving out what is oldest and faintest."""
    while len(profile.encode()) > MAX_BYTES:
        profile = _smaller(profile)
    return profile


def _smaller(profile: LiveProfile) -> LiveProfile:
    if len(profile.packed) > 1:
        return dataclasses.replace(profile, packed=profile.packed[1:])
    if len(profile.tags) > 1:
        return dataclasses.replace(profile, tags=_strongest(profile.tags, len(profile.tags) // 2))
    if profile.packed:
        return dataclasses.replace(profile, packed=())
    return dataclasses.replace(profile, hidden=profile.hidden[1:])


def _strongest(tags: Mapping[str, float], count: int) -> dict[str, float]:
    ordered = sorted((-abs(value), name) for name, value in tags.items())
    return {name: tags[name] for _, name in ordered[:count]}
