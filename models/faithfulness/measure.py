"""Faithfulness as a number: whether what is named as a reason is what the list depends on."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from homefeed.models.faithfulness import shapley as values
from homefeed.models.faithfulness.removal import (
    Ask,
    Part,
    Scores,
    drops,
    events_of,
    lead,
    rivals_of,
    strengths,
    trials_of,
    without,
)
from homefeed.models.requests import Request

NUM_EVENTS = 20  # The newest items of a history that may be named.
SIZES = (1, 2, 3, 5, 8)  # Events of the curves.
FEWEST_EVENTS = 3  # With fewer, a random event is the named one too often.
REQUESTS_IN_A_CALL = 128


@dataclasses.dataclass(frozen=True)
class Measured:
    """What became of the first card of one list.

    Attributes:
        named: lead lost without the event that is named for it.
        random: the same without an event that was drawn by lot from the others.
        displaced, displaced_randomly: whether another item stands first then.
        deletion, deletion_randomly: [SIZES] lead lost without so many events, most telling first, or drawn by lot.
        sufficiency, sufficiency_randomly: [SIZES] lead kept with so many events alone, less that without any.
        support: lead lost without all events.
        agrees: whether the named event is the first by Shapley values, too; None: not looked at.
    """

    named: float
    random: float
    displaced: bool
    displaced_randomly: bool
    deletion: Sequence[float]
    deletion_randomly: Sequence[float]
    sufficiency: Sequence[float]
    sufficiency_randomly: Sequence[float]
    support: float
    agrees: bool | None = None


def measure(
    ask: Ask, requests: Sequence[Request], num_users: int = 200, num_shapley: int = 50, seed: int = 0
) -> list[Measured]:
    """Takes events from histories and looks at the lists.

    Args:
        ask: the model.
        requests: of users; those with fewer than FEWEST_EVENTS items in their history are left out.
        num_users: that are looked at, drawn from them.
        num_shapley: of these, for how many Shapley values are found as well.
        seed: of all draws.
    """
    rng = np.random.default_rng(seed)
    fit = [request for request in requests if len(events_of(request)) >= FEWEST_EVENTS]
    chosen = [fit[place] for place in rng.permutation(len(fit))[:num_users].tolist()]
    found = (_measured(ask, request, rng, place < num_shapley) for place, request in enumerate(chosen))
    return [one for one in found if one is not None]


def _measured(ask: Ask, request: Request, rng: np.random.Generator, with_shapley: bool) -> Measured | None:
    events = events_of(request, NUM_EVENTS)
    full, nothing, *less = _asked(
        ask, [request, _with_only(request, ()), *(without(request, [one]) for one in events)]
    )
    row = list(full)
    if len(row) < 2:
        return None
    card = row[0]
    effects = dict(zip(events, drops(full, less, card, row), strict=True))
    order = _ordered(ask, request, effects, card, row)
    lot = [events[place] for place in rng.permutation(len(events)).tolist()]
    other = next(one for one in lot if one != order[0])
    firsts = {one: _first(scores) for one, scores in zip(events, less, strict=True)}
    sizes = [min(size, len(events)) for size in SIZES]
    tried = [way[:size] for way in (order, lot) for size in sizes]
    lists = _asked(ask, [without(request, some) for some in tried] + [_with_only(request, some) for some in tried])
    lost = drops(full, lists, card, row)
    support = lead(full, card, row) - lead(nothing, card, row)
    deleted, kept = lost[: len(tried)], [support - one for one in lost[len(tried) :]]
    return Measured(
        effects[order[0]],
        effects[other],
        firsts[order[0]] != card,
        firsts[other] != card,
        deleted[: len(sizes)],
        deleted[len(sizes) :],
        kept[: len(sizes)],
        kept[len(sizes) :],
        support,
        agrees_with_shapley(ask, request, order) if with_shapley else None,
    )


def _ordered(ask: Ask, request: Request, effects: Mapping[Part, float], card: str, row: Sequence[str]) -> list[Part]:
    """The events, the one that would be named at the head."""
    rivals = rivals_of(effects)
    leads = [
        lead(scores, card, row) for scores in _asked(ask, [without(request, some) for some in trials_of(rivals)])
    ]
    ranked = strengths(effects, rivals, leads)
    return sorted(effects, key=lambda one: (one not in ranked, -ranked.get(one, 0.0), -effects[one]))


def agrees_with_shapley(ask: Ask, request: Request, events: Sequence[Part]) -> bool:
    """Whether of some events the first is the first by Shapley values as well, held against the next MAX_PARTS - 1.

    Args:
        ask: the model.
        request: with a list.
        events: of its history, the most telling first; all others stay in it.
    """
    players = events[: values.MAX_PARTS]
    sets = values.coalitions(len(players))
    gone = [[one for place, one in enumerate(players) if place not in some] for some in sets]
    lists = _asked(ask, [without(request, some) for some in gone])
    full = lists[-1]  # The last coalition has all.
    card = _first(full)
    leads = {some: lead(scores, card, full) for some, scores in zip(sets, lists, strict=True)}
    return int(np.argmax(values.shapley(leads, len(players)))) == 0


def summary(found: Sequence[Measured]) -> dict[str, Any]:
    """The figures of some users; empty: of none.

    Returns:
        `users`; `named`, `random`: mean lead lost, in units of the score; `more_than_random`: share of users who lose
        more by the named one; `displaced`, `displaced_randomly`: shares; `sizes` and, of each, the mean `deletion`,
        `deletion_randomly`, `sufficiency` and `sufficiency_randomly`; `support`: mean lead lost without any event;
        `shapley_users` and the share of them, `shapley_agreement` (None: of none).
    """
    if not found:
        return {}
    curves = ("deletion", "deletion_randomly", "sufficiency", "sufficiency_randomly")
    means = ("named", "random", "displaced", "displaced_randomly", "support")
    known = [one.agrees for one in found if one.agrees is not None]
    return {
        "users": len(found),
        **{name: float(np.mean([getattr(one, name) for one in found])) for name in means},
        "more_than_random": float(np.mean([one.named > one.random for one in found])),
        "sizes": list(SIZES),
        **{name: np.mean([getattr(one, name) for one in found], axis=0).tolist() for name in curves},
        "shapley_users": len(known),
        "shapley_agreement": float(np.mean(known)) if known else None,
    }


def _with_only(request: Request, events: Sequence[Part]) -> Request:
    kept = set(events)
    everything = events_of(request, len(request.history))
    return without(request, [one for one in everything if one not in kept])


def _first(scores: Scores) -> str:
    return next(iter(scores), "")


def _asked(ask: Ask, requests: Sequence[Request]) -> list[Scores]:
    return list(itertools.chain.from_iterable(map(ask, _batches(requests))))


def _batches(requests: Sequence[Request]) -> Iterator[Sequence[Request]]:
    for start in range(0, len(requests), REQUESTS_IN_A_CALL):
        yield requests[start : start + REQUESTS_IN_A_CALL]
