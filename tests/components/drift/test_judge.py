from collections import Counter

import numpy as np
import pytest

from homefeed.components.drift import judge as judging
from homefeed.components.drift.compare import compare
from homefeed.components.drift.findings import USER_ID, Finding
from homefeed.components.drift.judge import judge, judge_events_per_user
from homefeed.components.drift.summary import NUM_GROUPS, Column, Summary, bins
from tests.components.drift.days import alarms, day, summary


def test_random_halves_of_a_day_are_quiet() -> None:
    false = 0
    for seed in range(100):
        columns = day(seed)
        half = np.random.default_rng(1000 + seed).random(6000) < 0.5
        false += bool(alarms(summary(columns, half), summary(columns, ~half)))
    assert false <= 2


def test_two_days_of_the_same_users_are_quiet() -> None:
    assert not alarms(summary(day(1)), summary(day(2)))


def test_a_shift_of_five_percent_of_a_category() -> None:
    columns = day(3)
    views = np.flatnonzero(columns["event_type"] == "view")
    columns["event_type"][np.random.default_rng(0).choice(views, 300, replace=False)] = "buy"  # 300 of 6,000.
    assert alarms(summary(day(4)), summary(columns)) == {"event_type:l_infinity"}


def test_a_new_category() -> None:
    columns = day(3)
    columns["event_type"][:300] = "share"
    assert "event_type:l_infinity" in alarms(summary(day(4)), summary(columns))


def test_a_shift_of_a_number_by_a_fifth_of_its_deviation() -> None:
    # Clustered values are worth fewer: with one value a user, 6,000 are plenty for a gap of 2Φ(0.1) - 1 = 0.08.
    before, after = day(3, num_users=100_000), day(4, num_users=100_000)
    deviation = np.std([value for value in before["value"] if value is not None])
    after["value"] = np.array([None if value is None else value + 0.2 * deviation for value in after["value"]])
    assert alarms(summary(before), summary(after)) == {"value:kolmogorov_smirnov"}


def test_a_doubled_missing_rate() -> None:
    columns = day(3)
    columns["value"] = np.where(np.random.default_rng(0).random(6000) < 0.0527, None, columns["value"])
    assert alarms(summary(day(4)), summary(columns)) == {"value:missing_rate"}  # 5% → 10%.


def test_new_words_new_items_new_users() -> None:
    columns = day(3)
    columns["query"][::20] = [query.replace("word", "slovo") for query in columns["query"][::20]]
    assert alarms(summary(day(4)), summary(columns)) == {"query:unseen_share"}
    columns = day(3)
    columns["item_id"][::20] = "new"
    assert alarms(summary(day(4)), summary(columns)) == {"item_id:unseen_share", "item_id:jensen_shannon"}
    columns = day(3)
    columns["user_id"][::10] = "robot"
    assert "user_id:unseen_share" in alarms(summary(day(4)), summary(columns))


def test_a_shift_of_five_percent_to_known_items() -> None:
    columns = day(3, size=20_000)
    columns["item_id"][::20] = "i700"
    assert alarms(summary(day(4, size=20_000)), summary(columns)) == {"item_id:jensen_shannon"}


def heads_and_tails(tail: str, order: int) -> Summary:
    """200,000 events: half on 1,000 heads, half on a tail of 50,000 of its own."""
    heads = [f"head{number % 1000}" for number in range(100_000)]
    tails = [f"{tail}{number % 50_000}" for number in range(100_000)]
    items = np.random.default_rng(order).permutation(np.array(heads + tails, object))
    users = np.array([f"u{number % 5000}" for number in range(200_000)], object)
    return summary({"user_id": users, "item_id": items})


@pytest.mark.parametrize("order", [0, 1])
def test_divergence_of_half_is_half_whatever_the_order(order: int) -> None:
    report = compare(heads_and_tails("a", order), heads_and_tails("b", order + 10))
    (found,) = [found for found in report.findings if found.measure == "jensen_shannon"]
    assert found.value == pytest.approx(0.5, abs=1e-9)  # The shared halves are equal to the last event.
    assert found.drifted


def column(kind: str, counts: dict[str, int], missing: int = 0) -> Column:
    """Counts of users that share no group: one value after the other goes to another one."""
    found = Column.empty(kind)
    found.values.update(counts)
    total = sum(counts.values())
    found.rows += np.bincount(np.arange(total + missing) % NUM_GROUPS, minlength=NUM_GROUPS)
    found.missing += np.bincount(np.arange(missing) % NUM_GROUPS, minlength=NUM_GROUPS)
    if kind == "category":
        owner = np.repeat(list(counts), list(counts.values()))
        for value in counts:
            places = np.flatnonzero(owner == value) % NUM_GROUPS
            found.grouped[value] = np.bincount(places, minlength=NUM_GROUPS)
    return found


def number(*values: float, missing: int = 0) -> Column:
    found = column("number", {}, missing)
    places, counts = np.unique(bins(np.array(values, float)), return_counts=True)
    found.values.update(dict(zip(places.tolist(), counts.tolist(), strict=True)))
    groups = np.arange(len(values)) % NUM_GROUPS
    found.rows += np.bincount(groups, minlength=NUM_GROUPS)
    for row, weights in enumerate((np.ones(len(values)), np.array(values), np.array(values) ** 2)):
        found.sums[row] = np.bincount(groups, weights, NUM_GROUPS)
    return found


def by_measure(findings: list[Finding]) -> dict[str, Finding]:
    return {found.measure: found for found in findings}


def test_each_kind_of_column_has_its_distances() -> None:
    category, text, ids = (column(kind, {"a": 60, "b": 40}) for kind in ("category", "text", "id"))
    numbers = number(*range(100))
    measures = {
        name: set(by_measure(judge(f"items.{name}", found, found, {})))
        for name, found in {"category": category, "text": text, "id": ids, "number": numbers}.items()
    }
    assert measures == {
        "category": {"missing_rate", "l_infinity"},
        "text": {"missing_rate", "unseen_share"},
        "id": {"missing_rate", "jensen_shannon", "unseen_share"},
        "number": {"missing_rate", "kolmogorov_smirnov"},
    }
    assert set(by_measure(judge(USER_ID, ids, ids, {}))) == {"missing_rate", "unseen_share"}  # Others come each day.


def test_a_comparator_asks_for_a_distance_and_sets_its_limit() -> None:
    ids, numbers = column("id", {"a": 6000, "b": 4000}), number(*range(100))
    asked = by_measure(judge("items.x", ids, ids, {"l_infinity": 0.5, "jensen_shannon": 0.25}))
    assert asked["l_infinity"].threshold == 0.5
    assert asked["jensen_shannon"].threshold == pytest.approx(0.25, abs=0.001)  # And what chance makes.
    of_numbers = by_measure(judge("items.x", numbers, numbers, {"jensen_shannon": 0.25}))
    assert of_numbers["jensen_shannon"].value == pytest.approx(0)


def test_a_column_that_nobody_fills_in_is_not_judged() -> None:
    empty, full = column("category", {}, missing=50), column("category", {"a": 100})
    assert judge("items.x", empty, empty, {}) == []
    (found,) = judge("items.x", full, empty, {})
    assert (found.measure, found.value, found.detail) == ("missing_rate", 1.0, "0.00% → 100.00%") and found.drifted


def test_the_change_of_a_category_is_named() -> None:
    before, after = column("category", {"a": 700, "b": 300}), column("category", {"a": 500, "b": 500})
    found = by_measure(judge("items.x", before, after, {}))["l_infinity"]
    assert found.value == pytest.approx(0.2) and found.drifted  # a: 0.7 → 0.5.
    assert sorted(found.detail.split(", ")) == ["a -20.00%", "b +20.00%"]
    # Each share's error is at least the binomial one: 0.7 · 0.3 / 1000 and 0.5 · 0.5 / 1000.
    assert found.chance == pytest.approx((0.21 / 1000 + 0.25 / 1000) ** 0.5, rel=0.15)
    assert found.threshold == pytest.approx(judging.NUM_ERRORS * found.chance)


def test_the_limit_of_a_number_is_kolmogorovs_or_what_matters() -> None:
    few = by_measure(judge("items.x", number(*range(50)), number(*range(1, 51)), {}))["kolmogorov_smirnov"]
    # One of 50 has moved over: 0.02. With 50 values on either side, 1.9495 · √(2/50) = 0.39 is borne.
    assert few.value == pytest.approx(0.02) and few.threshold == pytest.approx(1.9495 * 0.04**0.5, rel=0.02)
    assert few.detail.startswith("mean 24.5 → 25.5; widest apart at ")
    many = np.tile(np.arange(50), 200)
    sure = by_measure(judge("items.x", number(*many), number(*many), {}))["kolmogorov_smirnov"]
    assert sure.threshold == judging.MIN_KS and sure.value == 0
    coarse = number(*many)
    coarse.coarseness = 0.1
    limit = by_measure(judge("items.x", coarse, number(*many), {}))["kolmogorov_smirnov"].threshold
    assert limit == pytest.approx(judging.MIN_KS + 0.1)


def test_what_is_new_is_weighed_against_what_was_to_be_expected() -> None:
    before = column("id", {"a": 80, "b": 10, **{f"once {n}": 1 for n in range(10)}})
    after = column("id", {"a": 60, "new": 30, "other": 10})
    found = by_measure(judge("items.x", before, after, {}))["unseen_share"]
    assert (found.value, found.chance) == (0.4, 0.1)  # 10 of 100 were seen once.
    error = (2 * 0.4 * (1 / 100 + 1 / 100)) ** 0.5
    assert found.threshold == pytest.approx(0.1 + judging.NUM_ERRORS * error)
    assert found.detail == "2 new, as new, other"
    people = by_measure(judge(USER_ID, before, after, {}))["unseen_share"]
    assert people.detail == "2 new" and people.value == 0.4  # Not by their names.


def test_buckets_hold_as_many_numbers_each() -> None:
    before, after = number(*range(100)), number(*range(100, 200))
    counts = judging._in_buckets(before, after)
    assert sum(counts[0].values()) == sum(counts[1].values()) == 100
    assert sorted(counts[0]) == list(range(10)) and sorted(counts[1]) == list(range(10, 20))
    assert max(*counts[0].values(), *counts[1].values()) <= 12


def test_busier_users_are_found() -> None:
    before, after = Counter({1: 500, 2: 500}), Counter({1: 100, 2: 400, 3: 500})
    found = judge_events_per_user(before, after)
    assert (found.feature, found.measure) == (USER_ID, "events_per_user")
    assert found.value == 0.5 and found.drifted  # At 2: 1.0 against 0.5.
    assert found.detail == "mean 1.5 → 2.4"
    assert not judge_events_per_user(before, before).drifted
