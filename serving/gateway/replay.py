"""Pages that were served, made again: whether they are the same, and what they would be under other rules."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import itertools
import pathlib
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import orjson

from homefeed.schemas.errors import HomefeedError
from homefeed.serving.gateway.hot import Hottest
from homefeed.serving.gateway.making import Draft, Found, Made, make, recorded, seed_of
from homefeed.serving.gateway.page import Place, reader
from homefeed.serving.gateway.policies import Policy
from homefeed.serving.gateway.published import Published, read_vectors
from homefeed.serving.policy.arrangement import fatigue
from homefeed.serving.policy.surfaces import DEFAULTS, HOME, Surface
from homefeed.serving.profiles.exposure import Exposure, items_of
from homefeed.serving.profiles.live import IMPRESSION, LiveEvent, apply, excluded, only_seen
from homefeed.serving.profiles.sealing import Base, read_base
from homefeed.serving.profiles.store import LIVE_FILE_NAME, open_to_read
from homefeed.serving.profiles.transaction import read_events


class ReplayError(HomefeedError, LookupError):
    """A page cannot be made again."""

    exit_code = 2


@dataclasses.dataclass(frozen=True)
class Change:
    """A page that would be another one.

    Attributes:
        impression_id: of the page.
        surface: its name.
        rows: row → items before and after, of the rows that differ.
        set_aside: rules that the new ones would set aside on it.
    """

    impression_id: str
    surface: str
    rows: dict[str, tuple[list[str], list[str]]]
    set_aside: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Difference:
    """What other rules would change.

    Attributes:
        pages: that were looked at.
        changes: those that would be others.
        gone: item → on how many pages it would no longer be.
        come: item → on how many pages it would newly be.
    """

    pages: int
    changes: list[Change]
    gone: collections.Counter[str]
    come: collections.Counter[str]


@dataclasses.dataclass(frozen=True)
class Again:
    """A page that was served, made again.

    Attributes:
        is_same: whether what is recorded of it is the same again, byte for byte.
        rows: row → what was recorded and what it is now, of the rows that differ.
        reasons: what it is made of that is no longer what it was.
    """

    is_same: bool
    rows: dict[str, tuple[dict[str, Any], dict[str, Any]]]
    reasons: list[str]


def replay(serving_dir: pathlib.Path, policy: Policy, impression_id: str) -> Again:
    """Makes a page again from what was recorded of it: reader, lists, rules and lots.

    Args:
        serving_dir: where the live store is.
        policy: rules and surfaces, with profiles and catalogue.
        impression_id: of the page.

    Raises:
        ReplayError: it is not in the store, or what it was made of is not: the policy may be another one.
    """
    with contextlib.closing(open_to_read(serving_dir / LIVE_FILE_NAME)) as database:
        query = "SELECT impression_id, user_id, after, at, page FROM exposures WHERE impression_id = ?"
        found = database.execute(query, (impression_id,)).fetchone()
        if found is None:
            raise ReplayError(
                f"{serving_dir / LIVE_FILE_NAME} has no page {impression_id!r}: expected one of its last"
            )
        exposure = Exposure(*found)
        page = orjson.loads(exposure.page)
        if page["surface"] not in policy.surfaces.by_name:
            raise ReplayError(
                f"the page is of the surface {page['surface']!r}, which is not there; name its file by --surfaces"
            )
        drafted = _draft(database, policy.published, exposure, page)
    if drafted is None:
        raise ReplayError(f"events of before the page {impression_id!r} have left the store: it cannot be made again")
    draft = on_surface(drafted[0], surface_of(policy, page), drafted[1])
    made = make(draft, policy.published.items, read_vectors(serving_dir).of, policy.ruling)
    again = page | recorded(draft, made, page["item_id"])
    again |= {"arms": page["arms"], "set_aside": made.set_aside, "unmet": made.unmet}
    is_same = orjson.dumps(again) == exposure.page
    was, now = ({row["id"]: row for row in one["rows"]} for one in (page, again))
    rows = {name: (was.get(name, {}), now.get(name, {})) for name in [*was, *now] if was.get(name) != now.get(name)}
    if not is_same and (gone := "; ".join(_gone(page, policy))):
        raise ReplayError(f"the page {impression_id!r} cannot be replayed: {gone}")
    return Again(is_same, rows, [] if is_same else ["the reader's events, the editors' choice, or homefeed itself"])


def _gone(page: Mapping[str, Any], policy: Policy) -> Iterator[str]:
    """What a page was made of that is not at hand."""
    if page["rules_version"] != policy.version:
        was, now = (version or "none" for version in (page["rules_version"], policy.version))
        yield f"rules and surfaces were {was}, and are {now} here; give those of then: the audit trail has texts"
    if not is_of_push(page, policy.published):
        yield "profiles, catalogue and vectors were those of another push, and are gone"


def is_of_push(page: Mapping[str, Any], published: Published) -> bool:
    """Whether profiles, catalogue and vectors of a page are those that are served now."""
    return bool(page.get("pushed_at") == published.mark[0])


def compare(serving_dir: pathlib.Path, before: Policy, after: Policy, last: int) -> Difference:
    """Makes the newest pages again, under both.

    Args:
        serving_dir: where the live store is.
        before, after: what is compared; pages of an earlier push are made from their catalogue.
        last: pages that are looked at.
    """
    vectors = read_vectors(serving_dir).of
    difference = Difference(0, [], collections.Counter(), collections.Counter())
    surfaces = after.surfaces.by_name.keys() & before.surfaces.by_name
    pages = 0
    with contextlib.closing(open_to_read(serving_dir / LIVE_FILE_NAME)) as database:
        for exposure in _newest(database, last):
            page = orjson.loads(exposure.page)
            if "similar" not in page or page["surface"] not in surfaces:
                continue  # Of before pages could be made again, or of a surface that is gone.
            drafted = _draft(database, before.published, exposure, page)
            if drafted is None:
                continue
            draft, impressions = drafted
            pages += 1
            old, new = (
                make(
                    on_surface(draft, surface_of(policy, page), impressions),
                    policy.published.items,
                    vectors,
                    policy.ruling,
                )
                for policy in (before, after)
            )
            rows = _changed(old, new)
            if rows or old.set_aside != new.set_aside:
                difference.changes.append(Change(exposure.impression_id, page["surface"], rows, new.set_aside))
                was, will = (set(itertools.chain.from_iterable(_rows(made).values())) for made in (old, new))
                difference.gone.update(was - will)
                difference.come.update(will - was)
    return dataclasses.replace(difference, pages=pages)


def _newest(database: sqlite3.Connection, count: int) -> Iterator[Exposure]:
    query = "SELECT impression_id, user_id, after, at, page FROM exposures ORDER BY seq DESC LIMIT ?"
    return itertools.starmap(Exposure, database.execute(query, (count,)).fetchall())


def _draft(
    database: sqlite3.Connection, published: Published, exposure: Exposure, page: dict[str, Any]
) -> tuple[Draft, list[tuple[str, float]]] | None:
    """What a page was made of: the user as they were, and what was found for them; and what they had seen when.

    None: events of before it have left the store.
    """
    everything, base = list(read_events(database, exposure.user_id)), read_base(database, exposure.user_id)
    return draft_of(published, exposure, page, everything, base, _shown_before(database, exposure.after))


def draft_of(
    published: Published,
    exposure: Exposure,
    page: Mapping[str, Any],
    everything: Sequence[LiveEvent],
    base: Base,
    shown_before: Collection[str],
) -> tuple[Draft, list[tuple[str, float]]] | None:
    """As `_draft`, of what was read from any store.

    Args:
        published: profiles and catalogue.
        exposure: the page.
        page: what is recorded of it.
        everything: events of its user that the store still has.
        base: what is left of those before.
        shown_before: items of the pages that were scrolled on from.
    """
    since_then = page["profile_version"] - base.profile.version
    if since_then < 0:
        return None
    events = [event for event in everything if event.type != IMPRESSION][:since_then]
    seen_at = only_seen([(e.item_id, e.type, e.at) for e in everything if e.received_at <= exposure.at])
    live = functools.reduce(apply, events, base.profile)
    now = exposure.at / 1000
    log = ((event.item_id, event.type) for event in events)
    seen = excluded(log, base.seen, base.hidden)
    found = reader(published.stored(exposure.user_id), live, seen, now)
    shown = {*shown_before, page["item_id"] or ""}
    deviations = page.get("deviations") or itertools.repeat(None)
    columns = zip(page["candidates"], page["scores"], deviations, strict=False)
    places = [Place(item_id, score, None, deviation) for item_id, score, deviation in columns]
    draft = Draft(
        DEFAULTS[HOME],
        dataclasses.replace(found, excluded=found.excluded | shown),
        Found(
            places,
            page["source"],
            page["served_by"],
            page["similar"],
            Hottest(**page.get("hottest", {})),
            page.get("friends", ()),
            page.get("more_of", ""),
        ),
        page["k"],
        now,
        page["query"],
        bool(exposure.after),
        seed=seed_of(exposure.impression_id),
    )
    return draft, seen_at


def surface_of(policy: Policy, page: Mapping[str, Any]) -> Surface:
    """The surface of a page as it was for its reader, with what experiments changed."""
    surface = policy.surfaces.get(page["surface"])
    changes = page.get("changes")
    return Surface.model_validate(surface.model_dump() | changes) if changes else surface


def on_surface(draft: Draft, surface: Surface, seen_at: Sequence[tuple[str, float]]) -> Draft:
    """The draft of a page of this surface, whose reader had seen items at these times."""
    half_life = surface.rotation
    tired = fatigue(seen_at, draft.now, half_life) if half_life else {}
    return dataclasses.replace(draft, surface=surface, fatigue=tired)


def _shown_before(database: sqlite3.Connection, impression_id: str) -> set[str]:
    """Items of the page that somebody scrolled on from, and of those before it."""
    shown = set[str]()
    while impression_id:
        query = "SELECT after, page FROM exposures WHERE impression_id = ?"
        found = database.execute(query, (impression_id,)).fetchone()
        if found is None:
            break
        shown.update(items_of(found[1]))
        impression_id = found[0]
    return shown


def _rows(made: Made) -> dict[str, list[str]]:
    return {row.id: [card["item_id"] for card in row.cards] for row in made.rows}


def _changed(old: Made, new: Made) -> dict[str, tuple[list[str], list[str]]]:
    was, will = _rows(old), _rows(new)
    pairs = {name: (was.get(name, []), will.get(name, [])) for name in [*was, *(n for n in will if n not in was)]}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
