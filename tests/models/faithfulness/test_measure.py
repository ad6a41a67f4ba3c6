"""Faithfulness of models whose every reason is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from homefeed.models.faithfulness import measure as faithfulness
from homefeed.models.faithfulness.measure import FEWEST_EVENTS, SIZES, agrees_with_shapley, measure, summary
from homefeed.models.faithfulness.removal import Part
from homefeed.models.faithfulness.shapley import MAX_PARTS, coalitions, shapley
from homefeed.models.requests import Event, Request

ITEMS = [f"i{n}" for n in range(40)]


class Additive:
    """Events add to the score of items, each its own: what an event is worth is what is lost without it.

    Args:
        blind: whether histories are passed over.
    """

    def __init__(self, blind: bool = False):
        self.worth = np.random.default_rng(3).normal(0, 1, (len(ITEMS), len(ITEMS))) ** 3
        self.blind = blind
        self.calls: list[int] = []

    def __call__(self, requests: Sequence[Request]) -> list[Mapping[str, float]]:
        self.calls.append(len(requests))
        return [self.list(request) for request in requests]

    def list(self, request: Request) -> Mapping[str, float]:
        seen = [] if self.blind else sorted({ITEMS.index(event.item_id) for event in request.history})
        scores = self.worth[seen].sum(axis=0) + 1e-6 * np.arange(len(ITEMS))
        order = np.argsort(-scores, kind="stable")
        return {ITEMS[place]: float(scores[place]) for place in order}


def users(count: int = 30, length: int = 12) -> list[Request]:
    rng = np.random.default_rng(1)
    return [Request(f"u{n}", [Event(ITEMS[i]) for i in rng.permutation(40)[:length]]) for n in range(count)]


def test_what_is_named_of_a_sum_is_its_largest_part() -> None:
    told = summary(measure(Additive(), users(), num_shapley=10))
    assert told["users"] == 30 and told["shapley_users"] == 10
    assert told["shapley_agreement"] == 1.0 and told["more_than_random"] == 1.0
    assert told["named"] > 10 * abs(told["random"])
    assert told["displaced"] > told["displaced_randomly"]
    assert len(told["deletion"]) == len(SIZES) and told["deletion"][0] < told["deletion"][1] < told["deletion"][2]
    assert told["deletion"][0] == pytest.approx(told["named"])
    assert all(np.array(told["deletion"]) > told["deletion_randomly"])
    assert all(np.array(told["sufficiency"]) > told["sufficiency_randomly"])


def test_of_a_model_that_reads_no_history_nothing_is_lost() -> None:
    told = summary(measure(Additive(blind=True), users(), num_shapley=3))
    assert told["named"] == told["random"] == told["support"] == told["more_than_random"] == told["displaced"] == 0
    assert told["deletion"] == told["sufficiency"] == [0.0] * len(SIZES)


def test_who_did_little_is_left_out_and_of_nobody_nothing_is_said() -> None:
    few = [Request("u", [Event(item) for item in ITEMS[: FEWEST_EVENTS - 1]] * 3), Request("v")]
    assert measure(Additive(), few) == [] and summary([]) == {}
    assert len(measure(Additive(), [*few, *users(5)], num_users=3, num_shapley=0)) == 3


def test_calls_are_of_bounded_size_and_the_same_lots_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faithfulness, "REQUESTS_IN_A_CALL", 50)
    model = Additive()
    assert measure(model, users(2), num_shapley=1) == measure(Additive(), users(2), num_shapley=1)
    assert max(model.calls) == 50


def test_shapley_values_are_what_all_orders_say_on_average() -> None:
    rng = np.random.default_rng(0)
    values = {some: float(rng.normal()) for some in coalitions(4)}
    by_orders = np.zeros(4)
    orders = [[int(p) for p in np.base_repr(n, 4).zfill(4)] for n in range(256)]
    orders = [order for order in orders if len(set(order)) == 4]
    for order in orders:
        for place, part in enumerate(order):
            had = frozenset(order[:place])
            by_orders[part] += (values[had | {part}] - values[had]) / len(orders)
    assert shapley(values, 4) == pytest.approx(by_orders.tolist())
    assert sum(shapley(values, 4)) == pytest.approx(values[frozenset(range(4))] - values[frozenset()])
    with pytest.raises(ValueError, match="9 parts have 512 coalitions; expected at most 8"):
        coalitions(MAX_PARTS + 1)


def test_agreement_is_lost_where_one_event_hides_behind_another() -> None:
    """Either of two events is enough: without one of them nothing is lost, and yet they count most."""

    def ask(requests: Sequence[Request]) -> list[Mapping[str, float]]:
        seen = [{event.item_id for event in request.history} for request in requests]
        return [{"x": 5.0 * bool(s & {"a", "b"}) + 1.0 * ("c" in s), "y": -1.0} for s in seen]

    def agrees(history: str, order: str) -> bool:
        request = Request("u", [Event(item) for item in history])
        return agrees_with_shapley(ask, request, [Part("event", item) for item in order])

    assert agrees("abc", "abc") and not agrees("abc", "cab")
    assert agrees("acd", "acd") and not agrees("acd", "cad")
    assert agrees("abc", "cb")  # Without the other of the two in play, the third is all that can be lost.
