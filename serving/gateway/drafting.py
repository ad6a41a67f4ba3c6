"""What a page is made of: who asks, the lists that models find for them, and what else may be on it."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from homefeed.serving.experiments.assignment import Assigned
from homefeed.serving.gateway import finding, trials
from homefeed.serving.gateway import page as pages
from homefeed.serving.gateway.following import Following
from homefeed.serving.gateway.hot import NOTHING_HOT
from homefeed.serving.gateway.ladder import LAST_PAGE, Ladder, Listing, Question
from homefeed.serving.gateway.making import Draft, Found, seed_of
from homefeed.serving.gateway.policies import Policy
from homefeed.serving.gateway.schema import Ask
from homefeed.serving.policy.errors import NotFound
from homefeed.serving.profiles import Store
from homefeed.serving.profiles.live import HIDING
from homefeed.serving.releases.server_config import STABLE

NUM_CANDIDATES = 100


class Drafted(NamedTuple):
    """What a page is made of."""

    policy: Policy
    question: Question
    listing: Listing
    draft: Draft
    assigned: Assigned
    teams: Mapping[str, str]  # Item → label that chose it, of an interleaved list.


async def draft(ask: Ask, impression_id: str, known: Following, store: Store, ladder: Ladder) -> Drafted:
    """What a page is made of. Lists are kept for a while, and chance never is: each page draws its own cards.

    Args:
        ask: who asks, and for what.
        impression_id: of the page.
        known: profiles, items, models, rules and experiments as they are now.
        store: events and pages.
        ladder: finds lists.

    Raises:
        NotFound: there is no such surface, it lacks an item, or `after` names no page of theirs.
    """
    policy = known.policies.policy  # Once: all of a page is of one push, whatever comes meanwhile.
    published, user = policy.published, policy.published.name(ask.who())
    surface = policy.surfaces.get(ask.surface)
    assigned = await known.trials.assigned(policy.experiments, ask, user, time.time())
    surface = assigned.on(surface)
    if "similar" in surface.rows and not ask.item_id:
        raise NotFound(f"item_id: the surface {ask.surface} is about an item; name it")
    if ask.item_id and policy.ruling.is_denied(ask.item_id):
        raise NotFound("item_id: this item must not be shown")
    now = time.time_ns() // 1_000_000 / 1000  # As it is recorded.
    k = ask.k or surface.length
    items = published.items
    shown = await finding.shown_before(store, ask.after, user)
    live, seen = await store.read(user)
    tokens = known.tokenize(ask.query) if known.tokenize and ask.query else ()
    reader = pages.reader(published.known(ask.who()), live, seen, now, tokens)
    reader = dataclasses.replace(reader, request=dataclasses.replace(reader.request, objective=surface.objective))
    question = Question(user, live.version, published.mark, None, ask.query, surface.objective)
    questions = trials.asked(question, assigned, known.models)
    # Models do not find what is in the history: only what else must not be shown costs places.
    wanted = max(NUM_CANDIDATES, k + len(shown) + len(live.hidden))

    def may_be_named(item_id: str) -> bool:
        return item_id in items.titles and not policy.ruling.is_denied(item_id)

    similar, listings = await asyncio.gather(
        finding.similar(ladder, ask, surface, reader, may_be_named, k * 3),
        asyncio.gather(*(ladder.find(question, reader, items, wanted) for question in questions)),
    )
    reader = dataclasses.replace(reader, excluded=reader.excluded | shown | {ask.item_id or ""})
    listing, teams = listings[0], dict[str, str]()
    if assigned.interleave:
        rules = policy.ruling.counting(reader.request.features, now, surface.rules)
        may_show = functools.partial(trials.may_show, reader.excluded, items, rules, now)
        listing, teams = trials.together(listings, may_show)
    seen_often = await finding.seen_often(store, user, surface, now)
    hottest = NOTHING_HOT
    if surface.needs_hot:
        taken = (event.item_id for event in reader.request.history if event.event_type not in HIDING)
        hottest = known.hot.lists(taken, reader.excluded, NUM_CANDIDATES)
    of_friends: Sequence[str] = ()
    if live.is_personalised:
        of_friends = await finding.friends(store, surface, published, user, reader.excluded, k * 3)
    more_of = finding.more_of(ask, surface, reader, items, may_be_named)
    found = Found(listing.places, listing.source, listing.served_by, similar, hottest, of_friends, more_of)
    of_page = Draft(surface, reader, found, k, now, ask.query, bool(ask.after), seen_often, seed_of(impression_id))
    return Drafted(policy, questions[0], listing, of_page, assigned, teams)


def listed(listing: Listing) -> dict[str, Any]:
    """What is kept of a list that is not the stable models' for this very page, so that its reasons can be told."""
    found: dict[str, Any] = {}
    if listing.asked and listing.question.label != STABLE:
        found["label"] = listing.question.label
    if listing.served_by == LAST_PAGE:
        found["again"] = {
            "found_by": listing.found_by,
            "asked": listing.asked,
            "profile_version": listing.question.profile_version,
            "at": round(listing.made_at * 1000),
        }
    return found
