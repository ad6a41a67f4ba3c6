import pathlib

import numpy as np
import pytest

from homefeed.components import transform
from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import DatasetDir, Examples, TransformGraph
from homefeed.models.exposures import Exposures
from homefeed.models.shared.prediction_points import locate
from tests.components.ingested import DESCRIPTION, ITEMS, events, ingest, write_dataset

COLUMNS = "impression_id,user_id,item_id,timestamp,position,propensity,clicked"
LOG = [("u1", item, second) for second, item in enumerate("ABCABCABCD", 1)]  # Leave one out: C is eval, D is test.
TABLE = DESCRIPTION + "exposures: {path: exposures.csv}\n"


def run(
    folder: pathlib.Path,
    exposures: str,
    log: str,
    description: str = TABLE,
    split: str = "temporal",
) -> tuple[dict[str, Exposures | None], TransformGraph, Examples, str]:
    items = ITEMS + "D,Date,fruit\n"
    data = write_dataset(folder / "data", log, items, description=description)
    (data / "exposures.csv").write_text(exposures, encoding="utf-8")
    found = ingest(data, folder / "out", split=split)
    outputs = transform.Outputs(TransformGraph(folder / "graph"), Examples(folder / "examples"))
    inputs = transform.Inputs(DatasetDir(data), found.interactions, found.items, found.users, found.exposures)
    said = transform.run(inputs, outputs, transform.Config())
    shown = {split: transformed.load_exposures(outputs.examples, split) for split in ("train", "eval", "test")}
    return shown, outputs.transform_graph, outputs.examples, said


def found(exposures: Exposures | None) -> list[tuple[bytes, int, list[int], list[int], list[bool]]]:
    """User, time, and rows of the catalogue (A is 1) with places from 1 and what was taken."""
    assert exposures is not None
    starts, stops = exposures.row_splits[:-1], exposures.row_splits[1:]
    return [
        (
            user,
            second,
            exposures.item_index[a:b].tolist(),
            exposures.position[a:b].tolist(),
            exposures.clicked[a:b].tolist(),
        )
        for user, second, a, b in zip(exposures.user_ids, exposures.timestamp.tolist(), starts, stops, strict=True)
    ]


def test_what_models_read_of_a_table_of_exposures(tmp_path: pathlib.Path) -> None:
    rows = "p1,u1,B,2,0,1,1\np1,u1,A,2,1,0.5,0\np1,u1,?,2,,,0\np2,u9,A,9,400,1,0\n"
    shown, graph, examples, said = run(tmp_path, f"{COLUMNS}\n{rows}", events(LOG))
    assert found(shown["train"]) == [(b"u1", 2, [2, 1, 0], [1, 2, 0], [True, False, False])]
    assert found(shown["eval"]) == [(b"u9", 9, [1], [100], [False])]
    assert shown["test"] is None
    assert shown["train"] is not None
    assert shown["train"].outcomes == {}  # No event names a page.
    assert shown["train"].propensity.tolist() == [1, 0.5, pytest.approx(np.nan, nan_ok=True)]
    assert "1 impressions of train, 1 with something taken and left, 1 exposures of items outside the" in said
    data = transformed.load_training_data(graph, examples)
    assert data.shown is not None and data.shown_in_evaluation is not None
    # At second 2 what u1 did at second 1 is known, and no more; nobody knows u9.
    rows_, points = locate(data.shown, data.train)
    assert rows_.tolist() == [0] and (points.row.tolist(), points.cut.tolist()) == ([0], [1])
    assert len(locate(data.shown_in_evaluation, data.evaluation)[0]) == 0


def test_liked_events_with_the_impression_are_what_was_taken_of_it(tmp_path: pathlib.Path) -> None:
    columns = "user_id,item_id,timestamp,event_type,impression_id"
    kinds = {2: ("like", "p1"), 3: ("hide", "p1"), 4: ("like", "p2"), 5: ("like", "")}
    log = events([(*row, *kinds.get(row[2], ("like", "p9"))) for row in LOG], columns)
    exposures = "impression_id,user_id,item_id,timestamp\n"
    exposures += "".join(f"p1,u1,{item},2\n" for item in "ABC") + "".join(f"p2,u2,{item},3\n" for item in "AB")
    shown, *_ = run(tmp_path, exposures, log, TABLE + "positive: {event_types: [like]}\n")
    # B was liked, C was hidden; u2 is another person than the one who liked A in p2.
    assert found(shown["train"]) == [
        (b"u1", 2, [1, 2, 3], [0, 0, 0], [False, True, False]),
        (b"u2", 3, [1, 2], [0, 0], [False, False]),
    ]
    assert shown["train"] is not None
    assert {name: happened.tolist() for name, happened in shown["train"].outcomes.items()} == {
        "acted": [False, True, False, False, False],  # To hide something is no click.
        "liked": [False, True, False, False, False],
        "hidden": [False, False, True, False, False],
        "bought": [False] * 5,
    }


def test_what_came_of_pages_is_told_beside_what_counts_as_liked(tmp_path: pathlib.Path) -> None:
    columns = "user_id,item_id,timestamp,event_type,impression_id"
    kinds = {1: ("view", "p1"), 2: ("purchase", "p1"), 3: ("view", "p2")}
    log = events([(*row, *kinds.get(row[2], ("view", ""))) for row in LOG], columns)
    exposures = "impression_id,user_id,item_id,timestamp\n" + "".join(f"p1,u1,{item},2\n" for item in "ABC")
    shown, *_ = run(tmp_path, exposures, log, TABLE + "positive: {event_types: [purchase]}\n")
    assert shown["train"] is not None and shown["train"].clicked.tolist() == [False, True, False]
    assert shown["train"].outcomes["acted"].tolist() == [True, True, False]
    assert shown["train"].outcomes["bought"].tolist() == [False, True, False]


def test_no_impression_tells_of_a_later_split(tmp_path: pathlib.Path) -> None:
    # u1 has A B C … in train, C at 9 is in eval and D at 10 in test, as the first D of this user.
    rows = ["p1,u1,A,4,0,1,1", "p2,u1,D,4,0,1,1", "p3,u1,D,5,0,1,0", "p4,u1,A,9,0,1,0", "p5,u1,A,11,0,1,0"]
    shown, *_ = run(tmp_path, "\n".join([COLUMNS, *rows, ""]), events(LOG), split="leave_one_out")
    assert [second for _, second, *_ in found(shown["train"])] == [4, 5]  # p1 and p3.
    assert [second for _, second, *_ in found(shown["eval"])] == [9]
    assert [second for _, second, *_ in found(shown["test"])] == [4, 11]  # p2: D was taken, which test asks for.


def test_impressions_that_say_what_is_better_than_what() -> None:
    exposures = Exposures(
        user_ids=np.array([b"u"] * 4, object),
        timestamp=np.arange(4),
        row_splits=np.array([0, 2, 3, 5, 8]),
        item_index=np.array([1, 2, 3, 0, 4, 5, 6, 7], np.int32),
        position=np.arange(1, 9, dtype=np.int32),
        propensity=np.ones(8, np.float32),
        clicked=np.array([1, 0, 1, 1, 0, 0, 0, 0], bool),
    )
    # The second has nothing left, what the third took is not known, the fourth has nothing taken.
    assert exposures.contrasts().tolist() == [0]
    some = exposures[np.array([3, 0])]
    assert (some.row_splits.tolist(), some.item_index.tolist()) == ([0, 3, 5], [5, 6, 7, 1, 2])
    assert (some.timestamp.tolist(), some.position.tolist()) == ([3, 0], [6, 7, 8, 1, 2])


def test_without_exposures_nothing_is_written(tmp_path: pathlib.Path) -> None:
    _, graph, examples, said = run(tmp_path, "", events(LOG), DESCRIPTION)
    assert examples.splits == ["eval", "test", "train"]
    assert transformed.load_training_data(graph, examples).shown is None
    assert "impression" not in said
