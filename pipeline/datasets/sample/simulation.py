"""How shoppers pick one item after the other."""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np

from homefeed.pipeline.datasets.sample.store import Drift, Floats, Ints, Items, Users, liking
from homefeed.pipeline.datasets.sample.words import CATEGORIES

START = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
SPAN_SECONDS = 90 * 24 * 3600
NUM_CONSIDERED = 24  # Items that a shopper looks at before picking one.
TASTE, SAME_STYLE = 1.5, 1.5  # What draws to an item, as a logit: how well it suits, and the last one's style.
NUM_SHOWN = 10  # Places of a page, where the store shows pages.


@dataclasses.dataclass(frozen=True)
class Events:
    """Arrays are [num_events], in order of time."""

    user: Ints
    item: Ints
    time: Floats  # Part of the time span.
    liking: Floats  # About standard normal: what the rating and the event type come from.
    page: Ints  # [num_events, NUM_SHOWN] items in the order of their places, -1 for none; or no columns: no pages.
    propensity: Floats  # As `page`: the probability of the item at its place, given those above it.


def simulate(
    rng: np.random.Generator,
    items: Items,
    users: Users,
    transitions: Floats,
    num_events: int,
    patience: int,
    drift: Drift | None = None,
    pages: bool = False,
) -> Events:
    """Lets every shopper pick one item after the other; all shoppers take their nth step at once.

    Of `patience` × `num_events` picks, repeats and the surplus are dropped; fewer than asked for may be left.
    With `pages`, shoppers pick from a page that the store shows, and look at its first places more often.
    """
    num_users = len(users.age)
    budget = _share_out(rng, num_events * patience, num_users, len(items.category))
    order = np.argsort(-budget, kind="stable")  # The busiest first, so that those still active are a prefix.
    clock = users.joins.copy()
    pace = 2.0 * (1 - users.joins) / budget
    last_item = np.full(num_users, -1)
    store = _Store(rng, items, users, transitions, drift, pages)
    steps: list[Events] = []
    for step in range(int(budget.max())):
        who = order[: np.searchsorted(-budget[order], -step)]  # Those with more than `step` events to go.
        in_session = rng.random(len(who)) < 0.5
        clock[who] += np.where(in_session, 60.0 / SPAN_SECONDS, pace[who]) * rng.exponential(size=len(who))
        who = who[clock[who] < 1]
        if len(who):
            last_item[who], suits, page, propensity = store.pick(who, clock[who], last_item[who])
            steps.append(Events(who, last_item[who], clock[who], suits, page, propensity))
    return _choose(rng, _concatenate(steps), len(items.category), num_events)


class _Store:
    """What shoppers pick from, and how they do."""

    def __init__(
        self,
        rng: np.random.Generator,
        items: Items,
        users: Users,
        transitions: Floats,
        drift: Drift | None,
        pages: bool,
    ) -> None:
        self._rng, self._items, self._users = rng, items, users
        self._transitions, self._drift, self._pages = transitions, drift, pages
        self._shelves = [np.flatnonzero(items.category == category) for category in range(len(CATEGORIES))]
        weights = [np.exp(items.appeal[shelf]) for shelf in self._shelves]
        self._weights = [weight / weight.sum() for weight in weights]

    def pick(self, who: Ints, now: Floats, last_item: Ints) -> tuple[Ints, Floats, Ints, Floats]:
        """[num_picking] items, how well they suit in the long run, the pages they were on, and their propensities."""
        considered = self._consider(self._pick_category(who, now, last_item), now)
        propensity = np.empty((len(who), 0))
        if self._pages:
            considered, propensity = self._show(considered, now)
        suits = self._liking(who, considered, now)
        pull = suits * TASTE + self._moment(considered, last_item, now)
        if self._drift:
            pull += self._drift.trend[considered] * (now[:, None] - 0.5)
        if self._pages:
            examined = self._rng.random(pull.shape) < 1 / np.arange(1, NUM_SHOWN + 1)
            pull = np.where(examined & (propensity > 0), pull, -np.inf)
        best = np.argmax(pull + self._rng.gumbel(size=pull.shape), axis=1)
        rows = np.arange(len(who))
        page = np.where(propensity > 0, considered, -1) if self._pages else considered[:, :0]
        return considered[rows, best], suits[rows, best], page, propensity

    def _pick_category(self, who: Ints, now: Floats, last_item: Ints) -> Ints:
        """[num_picking]: from lasting taste, then from the mean of taste and what follows the last pick."""
        taste = self._users.categories[who]
        if self._drift:
            taste = _between(taste, self._drift.users.categories[who], now)
        after = self._transitions[self._items.category[last_item]]
        follows = np.where((last_item >= 0)[:, None], after, taste)
        cumulative = np.cumsum((taste + follows) / 2, axis=1)
        return (self._rng.random(len(taste))[:, None] > cumulative[:, :-1]).sum(axis=1)

    def _consider(self, category: Ints, now: Floats) -> Ints:
        """[num_picking, NUM_CONSIDERED] items of the category, popular ones more often."""
        considered = np.empty((len(category), NUM_CONSIDERED), np.int64)
        for index, (shelf, weight) in enumerate(zip(self._shelves, self._weights, strict=True)):
            here = category == index
            considered[here] = shelf[self._rng.choice(len(shelf), (int(here.sum()), NUM_CONSIDERED), p=weight)]
        # Rows 0 … are one item of each category, there from the start: a way out where all else is yet to come.
        none_there = np.all(self._items.available_from[considered] > now[:, None], axis=1)
        considered[:, 0] = np.where(none_there, category, considered[:, 0])
        return considered

    def _show(self, considered: Ints, now: Floats) -> tuple[Ints, Floats]:
        """[num_picking, NUM_SHOWN] pages of what may be considered, popular items rather above, and propensities.

        The order is a draw without replacement by the exponential of appeal (Plackett and Luce). The propensity of a
        place without an item is 0: what is not there yet, or there already, is not shown.
        """
        by_item = np.argsort(considered, axis=1, kind="stable")
        repeated = np.diff(np.take_along_axis(considered, by_item, 1), axis=1, prepend=-1) == 0
        usable = np.empty(considered.shape, bool)
        np.put_along_axis(usable, by_item, ~repeated, 1)
        usable &= self._items.available_from[considered] <= now[:, None]
        logits = np.where(usable, self._items.appeal[considered], -np.inf)
        order = np.argsort(-(logits + self._rng.gumbel(size=logits.shape)), axis=1, kind="stable")
        weights = np.exp(np.take_along_axis(logits, order, 1))
        left = np.cumsum(weights[:, ::-1], axis=1)[:, ::-1]
        propensity = np.divide(weights, left, out=np.zeros_like(weights), where=weights > 0)
        return np.take_along_axis(considered, order, 1)[:, :NUM_SHOWN], propensity[:, :NUM_SHOWN]

    def _liking(self, who: Ints, considered: Ints, now: Floats) -> Floats:
        first = liking(self._items, self._users, who[:, None], considered)
        if not self._drift:
            return first
        last = liking(self._items, self._drift.users, who[:, None], considered)
        return _between(first, last, now)

    def _moment(self, considered: Ints, last_item: Ints, now: Floats) -> Floats:
        """What speaks for items just now: the style of the last pick, and being new; not there yet: never."""
        style, available_from = self._items.style, self._items.available_from[considered]
        same_style = (style[considered] == style[last_item][:, None]) & (last_item >= 0)[:, None]
        since = now[:, None] - available_from
        new = (available_from > 0) & (since < 0.1)
        return np.where(since < 0, -np.inf, SAME_STYLE * same_style + 1.0 * new)


def _between(first: Floats, last: Floats, now: Floats) -> Floats:
    """[num_picking, …]: what moves from `first` to `last` in the course of time, as it is now."""
    return (1.0 - now[:, None]) * first + now[:, None] * last


def _concatenate(steps: list[Events]) -> Events:
    columns = (np.concatenate([getattr(step, field.name) for step in steps]) for field in dataclasses.fields(Events))
    return Events(*columns)


def _choose(rng: np.random.Generator, events: Events, num_items: int, num_events: int) -> Events:
    """Drops repeats and the surplus."""
    _, first = np.unique(events.user * num_items + events.item, return_index=True)
    chosen = first[_keep(rng, events.user[first], num_events)]
    chosen = chosen[np.lexsort((events.user[chosen], events.time[chosen]))]
    return Events(*(getattr(events, field.name)[chosen] for field in dataclasses.fields(Events)))


def _share_out(rng: np.random.Generator, total: int, num_users: int, num_items: int) -> Ints:
    """[num_users] events each, a few shoppers with very many, as in life."""
    share = np.exp(rng.normal(size=num_users) * 0.7)
    return np.clip(np.ceil(total * share / share.sum()), 2, num_items * 8).astype(np.int64)


def _keep(rng: np.random.Generator, user: Ints, num_events: int) -> Ints:
    """Positions of `num_events` events (or all, if fewer), with at least one of every user who has any."""
    _, first = np.unique(user, return_index=True)
    rest = np.setdiff1d(np.arange(len(user)), first)
    num_rest = min(max(num_events - len(first), 0), len(rest))
    return np.concatenate([first, rng.choice(rest, num_rest, replace=False)])
