import pathlib

import numpy as np
import pyarrow as pa
import pytest

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import Examples
from homefeed.components.drift.compare import compare, run_drift
from homefeed.components.drift.sources.load import load
from homefeed.pipeline.datasets.sample import write_sample
from homefeed.schemas.dataset import DatasetError
from tests.components.drift.sources.tables import ITEMS, interactions
from tests.components.ingested import ingest, write_dataset
from tests.components.ragged import Ragged, numbers, strings


def test_examples_say_what_their_tables_say(tmp_path: pathlib.Path) -> None:
    data = tmp_path / "data"
    write_sample(data, num_users=60, num_items=80, num_events=900)
    ingest(data, tmp_path / "out")
    report = compare(load(data), load(tmp_path / "out"))
    assert not report.drifted and not report.not_compared
    assert all(found.value < 0.02 for found in report.findings)  # Duplicates count once in Examples.


def test_one_split_against_another(tmp_path: pathlib.Path) -> None:
    outputs = ingest(write_dataset(tmp_path / "data", interactions(0), ITEMS), tmp_path / "out", split="hash")
    report = run_drift(outputs.interactions.split_dir("train"), outputs.interactions.split_dir("eval"))
    assert {found.feature for found in report.drifted} <= {"interactions.user_id"}  # Users are in one split only.
    whole = run_drift(tmp_path / "data", tmp_path / "out" / "interactions")  # One table of three.
    assert set(whole.not_compared) == {"items.title"}


def counted(folder: pathlib.Path, **columns: Ragged) -> dict[str, tuple[str, dict[object, int], int]]:
    """Column → kind, values and how many are missing, of Examples of one split."""
    example_io.write_split(Examples(folder), "all", example_io.record_batch(columns))
    found = load(folder)
    return {
        name.partition(".")[2]: (column.kind, dict(column.values), int(column.missing.sum()))
        for name, column in found.columns.items()
    }


def test_columns_are_taken_for_what_they_look_like(tmp_path: pathlib.Path) -> None:
    found = counted(
        tmp_path,
        item_id=strings(["A"], ["B"], ["C"]),
        brand=strings(["Kumo"], [], [""]),
        colours=strings(["red", "blue"], ["red"], []),
        price=numbers(np.float32, [1], [], [1]),
        image=numbers(np.float32, [1, 2], [3, 4], []),
        stock=numbers(np.int64, [1], [2], [3]),
    )
    assert found["brand"] == ("category", {"Kumo": 1}, 2)  # An empty text is none.
    assert found["colours"] == ("category", {"red": 2, "blue": 1}, 1)
    kind, values, missing = found["price"]
    assert (kind, list(values.values()), missing) == ("number", [2], 1)
    assert found.keys() == {"brand", "colours", "price"}  # Neither ids, nor embeddings, nor what may be times.


def test_interactions_are_one_row_an_event(tmp_path: pathlib.Path) -> None:
    found = counted(
        tmp_path,
        user_id=strings(["u1"], ["u2"]),
        item_id=strings(["A", "B"], ["A"]),
        timestamp=numbers(np.int64, [1, 2], [3]),
        event_type=strings(["view", ""], ["buy"]),
        value=numbers(np.float32, [np.nan, 2], [3]),
    )
    assert found["user_id"] == ("id", {"u1": 2, "u2": 1}, 0)
    assert found["item_id"] == ("id", {"A": 2, "B": 1}, 0)
    assert found["event_type"] == ("category", {"view": 1, "buy": 1}, 1)
    assert found["value"][2] == 1 and sum(found["value"][1].values()) == 2


def test_examples_of_something_else_are_refused(tmp_path: pathlib.Path) -> None:
    example_io.write_split(Examples(tmp_path), "all", example_io.record_batch({"weather": strings(["sunny"])}))
    with pytest.raises(DatasetError, match=r"holds Examples of none of the tables: weather\."):
        load(tmp_path)
    empty = pa.RecordBatch.from_arrays([], [])
    example_io.write_split(Examples(tmp_path / "none"), "all", empty)
    with pytest.raises(DatasetError, match=r"none of the tables: none\."):
        load(tmp_path / "none")
