import numpy as np
import pytest

from homefeed.components.drift.compare import compare
from homefeed.components.drift.summary import Summary
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
