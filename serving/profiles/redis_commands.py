"""What events of a user change, as Redis' commands.

Keys, after `homefeed:`, are `profile:USER` (version, state), `events:USER`, `seen:USER`, `hidden:USER`, `pages:USER`
(what was shown to the user), `assigned:USER` (arms of experiments), `page:IMPRESSION`, `pages` (oldest first), `ids`
(of all events), `happened` (a stream of what was done with items, by nobody in particular), `stops` (experiments),
`secret`, `outbox` (a stream), `sender` (whose turn it is to send it) and `logging` (there while gateways have a log).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import orjson

from homefeed.serving.profiles.live import HIDING, NOT_SEEN, LiveEvent, LiveProfile, apply, counts
from homefeed.serving.profiles.transaction import Outcome

PREFIX = "homefeed:"
MAX_HAPPENED = 1_000_000  # Events that are counted again when a gateway starts, at about 60 bytes each.

# Commands, if others still give what they gave before. Numbers are texts here: Lua's would lose digits.
COMMIT = """
local job = cjson.decode(ARGV[1])
for _, known in ipairs(job.known) do
    if tostring(redis.call(unpack(known[1])) or '') ~= known[2] then return 0 end
end
for _, command in ipairs(job.commands) do redis.call(unpack(command)) end
return 1
"""
Command = list[str]


@dataclasses.dataclass(frozen=True)
class Change:
    """What is written for one user, if `known` is still so.

    Attributes:
        outcomes: of the events, in order.
        known: commands and what they must give.
        commands: what is done then; none: there is nothing to do.
    """

    outcomes: list[Outcome]
    known: list[tuple[Command, str]]
    commands: list[Command]


def folded(
    events: Sequence[LiveEvent],
    profile: LiveProfile,
    state: bytes,
    stored: set[str] | None = None,
    had: Collection[str] = (),
) -> Change:
    """What events of one user change.

    Args:
        events: of the user.
        profile, state: of the user, and its bytes.
        stored: ids of events that are there, which are not counted again; None: they only move.
        had: items that the user took before: a person counts once for what is hot.
    """
    had = set(had)
    outcomes, commands, user = list[Outcome](), list[Command](), events[0].user_id if events else ""
    fresh, known_ids = list[str](), set(stored or ())
    for event in events:
        accepted = event.event_id not in known_ids
        if accepted:
            profile = apply(profile, event)
            commands += _commands(event)
            if stored is not None:
                fresh.append(event.event_id)
                commands += _told(event, had)
            known_ids.add(event.event_id)
        outcomes.append(Outcome(accepted, profile.version))
    if not commands:
        return Change(outcomes, [], [])
    name = key("profile", user)
    commands.append(["HSET", name, "version", str(profile.version), "state", profile.encode().decode()])
    commands += [["SADD", key("ids"), event_id] for event_id in fresh]
    known = [(["HGET", name, "state"], state.decode())]
    return Change(outcomes, known + [(["SISMEMBER", key("ids"), event_id], "0") for event_id in fresh], commands)


def _commands(event: LiveEvent) -> list[Command]:
    """The event, and what it says of items that must not be shown."""
    said = {name: value for name, value in vars(event).items() if name != "user_id"}
    commands = [["RPUSH", key("events", event.user_id), orjson.dumps(said).decode()]]
    if event.item_id and event.type not in NOT_SEEN:
        commands.append(["SADD", key("seen", event.user_id), event.item_id])
    if event.item_id and event.type in (*HIDING, "undo"):
        commands.append([
            "SREM" if event.type == "undo" else "SADD", key("hidden", event.user_id), event.item_id
        ])  # fmt: skip
    return commands


def _told(event: LiveEvent, had: set[str]) -> list[Command]:
    """What all gateways count; the oldest go."""
    if event.item_id in had or not counts(event.type, event.item_id, event.at, event.received_at):
        return []
    had.add(event.item_id)
    limit = ["MAXLEN", "~", str(MAX_HAPPENED)]
    return [["XADD", key("happened"), *limit, "*", "item", event.item_id, "at", str(event.at)]]


def read_event(user_id: str, said: bytes) -> LiveEvent:
    """An event of a user as it is kept."""
    values = orjson.loads(said)
    return LiveEvent(**values | {"user_id": user_id, "tags": tuple(values["tags"])})


def read_profile(version: bytes | None, state: bytes | None) -> LiveProfile:
    """The kept profile; of an unknown user, an empty one."""
    return LiveProfile.decode(int(version), state) if version and state else LiveProfile()


def key(*parts: str) -> str:
    """The name of what is kept under some parts."""
    return PREFIX + ":".join(parts)
