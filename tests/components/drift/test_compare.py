from __future__ import annotations

import doctest
import json
import pathlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.components.drift import compare as drift
from homefeed.components.drift import summary as _summaries
from homefeed.components.drift.summary import Summary, summarize_batches
from homefeed.schemas.dataset import DatasetError, Feature

FEATURES = {
    "user_id": Feature(kind="id"),
    "item_id": Feature(kind="id"),
    "timestamp": Feature(kind="timestamp"),
    "event_type": Feature(kind="category"),
    "value": Feature(kind="number"),
    "query": Feature(kind="text"),
}
KINDS = ("view", "click", "buy")
WORDS = [f"word{number}" for number in range(300)]


def day(seed: int, size: int = 6000, num_users: int = 400) -> dict[str, npt.NDArray[np.object_]]:
    """Interactions: long tails, tastes that differ from user to user, 5% of the values missing."""
    rng = np.random.default_rng(seed)
    user = (num_users * rng.random(size) ** 2).astype(int)
    item = (800 * rng.random(size) ** 3).astype(int)
    mood = np.random.default_rng(7).normal(size=num_users)[user]  # Clusters: users are the same every day.
    kind = np.digitize(mood + rng.normal(size=size), (0.3, 1.6))
    value = np.where(rng.random(size) < 0.05, None, mood + rng.normal(size=size))
    query = [f"{WORDS[a]} {WORDS[b]}" for a, b in (300 * rng.random((size, 2)) ** 2).astype(int)]
    return {
        "user_id": np.array([f"u{n}" for n in user], object),
        "item_id": np.array([f"i{n}" for n in item], object),
        "event_type": np.array(KINDS, object)[kind],
        "value": value,
        "query": np.array(query, object),
    }


def summary(columns: dict[str, npt.NDArray[np.object_]], rows: npt.NDArray[np.bool_] | None = None) -> Summary:
    kept = {name: column if rows is None else column[rows] for name, column in columns.items()}
    types = {"value": pa.float32()}
    arrays = [pa.array(column.tolist(), types.get(name, pa.string())) for name, column in kept.items()]
    batch = pa.RecordBatch.from_arrays(arrays, list(kept))
    return summarize_batches("day", {"interactions": [batch]}, {"interactions": FEATURES})


def alarms(before: Summary, after: Summary) -> set[str]:
    return {f"{found.feature.partition('.')[2]}:{found.measure}" for found in drift.compare(before, after).drifted}


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
    report = drift.compare(heads_and_tails("a", order), heads_and_tails("b", order + 10))
    (found,) = [found for found in report.findings if found.measure == "jensen_shannon"]
    assert found.value == pytest.approx(0.5, abs=1e-9)  # The shared halves are equal to the last event.
    assert found.drifted


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=20))
def test_jensen_shannon_is_a_divergence(pairs: list[tuple[int, int]]) -> None:
    before, after = (np.array(column) + np.eye(1, len(pairs), dtype=int)[0] for column in zip(*pairs, strict=True))
    value = drift.jensen_shannon(before, after)
    assert -1e-12 <= value <= 1
    assert value == pytest.approx(drift.jensen_shannon(after, before))
    assert drift.jensen_shannon(before, before * 3) == pytest.approx(0)


def test_kolmogorov_smirnov_by_hand() -> None:
    # Cumulative: {1: 0.5, 2: 1} against {1: 0.1, 2: 0.4, 3: 1}: widest at 2.
    assert drift.kolmogorov_smirnov({1: 1, 2: 1}, {1: 1, 2: 3, 3: 6}) == (pytest.approx(0.6), 2)


def test_bins_keep_order_and_size() -> None:
    numbers = np.array([-1e6, -2000, -1.5, -0.0, 0.0, 1e-9, 1.5, 1999, 2000, 1e6])
    bins = _summaries.bins(numbers)
    assert bins[3] == bins[4]
    assert np.all(np.diff(np.delete(bins, 3)) > 0)
    assert _summaries.bin_values(bins) == pytest.approx(numbers, rel=1e-3, abs=1e-30)


def test_doctests() -> None:
    for module in (drift, _summaries):
        assert doctest.testmod(module, extraglobs={"np": np}).failed == 0


def test_what_cannot_be_evaluated_is_an_error() -> None:
    before, after = summary(day(1)), summary(day(2))
    with pytest.raises(DatasetError, match=r"Thresholds for interactions.value:l_infinity cannot be evaluated. What"):
        drift.compare(before, after, {"interactions.value:l_infinity": 0.1})
    short = {name: column for name, column in day(2).items() if name != "value"}
    with pytest.raises(DatasetError, match=r"interactions.value is in day only"):
        drift.compare(before, summary(short))
    with pytest.raises(DatasetError, match="interactions has no rows"):
        drift.compare(before, summary(day(2), np.zeros(6000, bool)))
    assert drift.Finding("x", "l_infinity", float("nan"), 0, 1, "").drifted


def test_thresholds_take_precedence_and_all_is_reported(tmp_path: pathlib.Path) -> None:
    report = drift.compare(summary(day(1)), summary(day(2)), {"interactions.value:missing_rate": -1.0})
    assert [found.feature for found in report.drifted] == ["interactions.value"]
    assert "interactions.value" in report.reasons()[0]
    assert len(report.to_text().splitlines()) == 1 + len(report.findings) == 13
    report.write(tmp_path / "drift.json", tmp_path / "drift.html")
    assert json.loads((tmp_path / "drift.json").read_text())["drifted"] == ["interactions.value:missing_rate"]
    page = (tmp_path / "drift.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4  # Of every column but the user ids,
    assert "u17" not in page + report.to_text() + (tmp_path / "drift.json").read_text()  # which stay in the tables.
    assert "<script" not in page and "http" not in page


def test_folders_and_curated_comparators(tmp_path: pathlib.Path) -> None:
    from tests.components.ingested import events, write_dataset

    rows = [(f"u{n % 7}", "ABC"[n % 3], n, ("view", "buy")[n % 2]) for n in range(500)]
    text = events(rows, "user_id,item_id,timestamp,event_type")
    before = write_dataset(tmp_path / "before", text)
    after = write_dataset(tmp_path / "after", text.replace("buy", "bought"))
    (tmp_path / "interactions.pbtxt").write_text(
        'feature { name: "event_type" type: BYTES drift_comparator { infinity_norm { threshold: 0.6 } } }'
    )
    assert [f"{f.feature}:{f.measure}" for f in drift.run_drift(before, after).drifted] == [
        "interactions.event_type:l_infinity"
    ]
    report = drift.run_drift(before, after, tmp_path / "interactions.pbtxt")  # "buy" fell by 0.5.
    assert not report.drifted
    (tmp_path / "interactions.pbtxt").write_text(
        'feature { name: "timestamp" type: INT drift_comparator { infinity_norm { threshold: 0.6 } } }'
    )
    with pytest.raises(DatasetError, match=r"Thresholds for interactions.timestamp:l_infinity cannot be evaluated"):
        drift.run_drift(before, after, tmp_path)
    with pytest.raises(DatasetError, match="is no TFRecord file of PredictionLogs"):
        drift.run_drift(before, tmp_path)


def test_statistics_of_tfdv(tmp_path: pathlib.Path) -> None:
    import pandas as pd
    import tensorflow_data_validation as tfdv

    def statistics(name: str, rows: pd.DataFrame) -> pathlib.Path:
        path = tmp_path / name / "FeatureStats.pb"
        path.parent.mkdir()
        path.write_bytes(tfdv.generate_statistics_from_dataframe(rows).SerializeToString())
        return path.parent

    rng = np.random.default_rng(0)
    table = pd.DataFrame({"kind": rng.choice(["a", "b"], 5000), "price": rng.normal(size=5000)})
    same = pd.DataFrame({"kind": rng.choice(["a", "b"], 5000), "price": rng.normal(size=5000)})
    moved = same.assign(price=same.price + 0.5)
    before = statistics("before", table)
    assert not drift.run_drift(before, statistics("same", same)).drifted
    drifted = drift.run_drift(before, statistics("moved", moved)).drifted
    assert [found.feature for found in drifted] == ["statistics.price"]
    many = pd.DataFrame({"kind": [f"id{n}" for n in range(5000)], "price": 1.0})
    with pytest.raises(DatasetError, match=r"most frequent values of statistics.kind \(1,000 of"):
        drift.run_drift(before, statistics("many", many))
