import pathlib
from collections import Counter

import numpy as np
import pytest

from homefeed.components.drift.compare import compare, run_drift
from homefeed.components.drift.findings import Finding
from homefeed.components.drift.summary import Column, Summary
from homefeed.schemas.dataset import DatasetError
from tests.components.drift.days import day, summary
from tests.components.ingested import events, write_dataset


def test_what_cannot_be_evaluated_is_an_error() -> None:
    before, after = summary(day(1)), summary(day(2))
    with pytest.raises(DatasetError, match=r"Thresholds for interactions.value:l_infinity cannot be evaluated. What"):
        compare(before, after, {"interactions.value:l_infinity": 0.1})
    short = {name: column for name, column in day(2).items() if name != "value"}
    with pytest.raises(DatasetError, match=r"interactions.value is in day only"):
        compare(before, summary(short))
    with pytest.raises(DatasetError, match="interactions has no rows"):
        compare(before, summary(day(2), np.zeros(6000, bool)))
    assert Finding("x", "l_infinity", float("nan"), 0, 1, "").drifted


def test_folders_and_curated_comparators(tmp_path: pathlib.Path) -> None:
    rows = [(f"u{n % 7}", "ABC"[n % 3], n, ("view", "buy")[n % 2]) for n in range(500)]
    text = events(rows, "user_id,item_id,timestamp,event_type")
    before = write_dataset(tmp_path / "before", text)
    after = write_dataset(tmp_path / "after", text.replace("buy", "bought"))
    (tmp_path / "interactions.pbtxt").write_text(
        'feature { name: "event_type" type: BYTES drift_comparator { infinity_norm { threshold: 0.6 } } }'
    )
    assert [f"{f.feature}:{f.measure}" for f in run_drift(before, after).drifted] == [
        "interactions.event_type:l_infinity"
    ]
    report = run_drift(before, after, tmp_path / "interactions.pbtxt")  # "buy" fell by 0.5.
    assert not report.drifted
    (tmp_path / "interactions.pbtxt").write_text(
        'feature { name: "timestamp" type: INT drift_comparator { infinity_norm { threshold: 0.6 } } }'
    )
    with pytest.raises(DatasetError, match=r"Thresholds for interactions.timestamp:l_infinity cannot be evaluated"):
        run_drift(before, after, tmp_path)
    with pytest.raises(DatasetError, match="is no TFRecord file of PredictionLogs"):
        run_drift(before, tmp_path)


def side(name: str, is_log: bool = False, rows: dict[str, int] | None = None, **kinds: str) -> Summary:
    """A side with columns `table__name` of a kind; each has one value, 100 times."""
    columns = {column.replace("__", "."): Column.empty(kind) for column, kind in kinds.items()}
    for column in columns.values():
        column.values["a"] = 100
        column.grouped["a"] = column.rows
        column.rows += np.bincount([0, 1], [50, 50], 64).astype(np.int64)
    return Summary(name, columns, Counter(), rows or {"items": 100}, is_log=is_log)


def test_a_column_on_one_side_only_is_an_error_unless_only_one_can_have_it() -> None:
    before = side("before", items__brand="category", items__size="category")
    with pytest.raises(DatasetError, match=r"Drift cannot be judged: items.size is in before only\."):
        compare(before, side("after", items__brand="category"))
    # Requests carry only some columns; and of a table that a side is not about it cannot have any.
    log = side("log", is_log=True, items__brand="category")
    assert compare(before, log).not_compared == ("items.size",)
    other = side("other", rows={"items": 100, "users": 5}, items__brand="category", items__size="id", users__age="id")
    assert compare(before, other).not_compared == ("users.age",)


def test_all_that_speaks_against_a_comparison_is_said_at_once() -> None:
    before = side("before", rows={"items": 0, "users": 0}, items__brand="category", items__size="number")
    after = side("after", rows={"items": 7, "users": 7}, items__brand="text", items__price="number")
    with pytest.raises(DatasetError) as caught:
        compare(before, after)
    message = str(caught.value)
    for fault in (
        "before: items has no rows",
        "before: users has no rows",
        "items.brand is category on one side and text on the other",
        "items.price is in after only",
        "items.size is in before only",
    ):
        assert fault in message


def test_sides_without_a_common_column_cannot_be_compared() -> None:
    one = side("one", items__brand="category")
    other = side("other", rows={"users": 3}, users__age="id")
    with pytest.raises(DatasetError, match="one and other have no column in common"):
        compare(one, other)


def test_a_comparator_counts_where_both_sides_are_about_its_table() -> None:
    pair = side("one", items__brand="category"), side("other", items__brand="category")
    strict = compare(*pair, comparators={"items.brand:l_infinity": 0.75, "users.age:l_infinity": 0.1})
    (found,) = (found for found in strict.findings if found.measure == "l_infinity")
    assert found.threshold == 0.75
    with pytest.raises(DatasetError, match=r"Thresholds for items.size:l_infinity cannot be evaluated\. What can: "):
        compare(*pair, comparators={"items.size:l_infinity": 0.1})
    with pytest.raises(DatasetError, match=r"Thresholds for users.age:l_infinity cannot be evaluated"):
        compare(*pair, thresholds={"users.age:l_infinity": 0.1})


def test_a_comparator_of_a_column_without_values_is_quiet() -> None:
    pair = [side(name, items__brand="category", items__size="category") for name in ("one", "other")]
    for one in pair:
        one.columns["items.size"].values.clear()
    found = compare(*pair, comparators={"items.size:l_infinity": 0.1})
    assert {finding.feature for finding in found.findings} == {"items.brand"}


def test_a_schema_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path / "data", events([("u1", "A", 1)]))
    with pytest.raises(DatasetError, match=r"No schema \(`<table>.pbtxt`\) at .*nowhere"):
        run_drift(data, data, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="No schema"):
        run_drift(data, data, tmp_path / "empty")


def test_the_current_folders_curated_schema_comes_before_the_baselines(tmp_path: pathlib.Path) -> None:
    folders = []
    for name, limit in (("before", 0.25), ("after", 0.75)):
        data = write_dataset(tmp_path / name, events([(f"u{n}", "A", n, "view") for n in range(50)], COLUMNS))
        (data / "schema").mkdir()
        (data / "schema" / "interactions.pbtxt").write_text(SCHEMA.replace("LIMIT", str(limit)))
        folders.append(data)

    def threshold() -> float:
        report = run_drift(*folders)
        return next(found.threshold for found in report.findings if found.measure == "l_infinity")

    assert threshold() == 0.75
    (folders[1] / "schema" / "interactions.pbtxt").unlink()
    assert threshold() == 0.25


COLUMNS = "user_id,item_id,timestamp,event_type"
SCHEMA = 'feature { name: "event_type" type: BYTES drift_comparator { infinity_norm { threshold: LIMIT } } }'
