import pathlib

import pytest

from homefeed.components.artifacts.types import Examples, Schema
from homefeed.components.drift.findings import USER_ID
from homefeed.components.example_validator.comparisons import (
    DRIFT,
    compare_by_schemas,
    comparisons,
    new_by_design,
    spans_before,
    split_comparisons,
    with_spans,
)
from tests.components.ingested import DESCRIPTION, events, write_dataset

COMPARATOR = 'feature { name: "event_type" type: BYTES drift_comparator { infinity_norm { threshold: LIMIT } } }'


@pytest.mark.parametrize(
    ("newest", "limit", "before"),
    [("4", 2, ["2", "3"]), ("4", 7, ["1", "2", "3"]), ("2", 1, ["1"]), ("1", 7, []), ("4", 0, [])],
)
def test_the_spans_just_before_one(newest: str, limit: int, before: list[str]) -> None:
    assert spans_before(["1", "2", "3", "4"], newest, limit) == before


def test_spans_stand_behind_their_folder() -> None:
    data = pathlib.Path("shop")
    assert with_spans(data, ["9", "10"]) == "shop@9,10" and with_spans(data, []) == "shop"


@pytest.fixture
def data(tmp_path: pathlib.Path) -> pathlib.Path:
    """A log of spans 1, 2, 3 and 10."""
    folder = write_dataset(tmp_path, "", description=DESCRIPTION.replace("interactions.csv", "'day-{SPAN}.csv'"))
    for day in (1, 2, 3, 10):
        (folder / f"day-{day}.csv").write_text(events([("u1", "A", day)]))
    return folder


def test_the_newest_span_is_compared_with_those_before_it(data: pathlib.Path) -> None:
    assert comparisons(data, ["3", "10"], "", 7) == {DRIFT: (f"{data}@1,2,3", f"{data}@10")}
    assert comparisons(data, ["2"], "", 7) == {DRIFT: (f"{data}@1", f"{data}@2")}
    assert comparisons(data, ["1"], "", 7) == comparisons(data, ["10"], "", 0) == {}


def test_a_baseline_is_compared_with_all_that_was_read(data: pathlib.Path) -> None:
    assert comparisons(data, ["3", "10"], "last/week", 7) == {DRIFT: ("last/week", f"{data}@3,10")}
    assert comparisons(data, [], "last/week", 7) == {DRIFT: ("last/week", str(data))}
    assert comparisons(data, [], "", 7) == {}  # No spans, no baseline: nothing to compare with.


def test_eval_and_test_are_compared_with_train() -> None:
    train, evaluation, test = (f"out/Split-{split}" for split in ("train", "eval", "test"))
    assert split_comparisons(Examples(pathlib.Path("out"))) == {"eval": (train, evaluation), "test": (train, test)}
    assert new_by_design("eval") == (USER_ID,) and new_by_design(DRIFT) == ()


def test_the_schemas_say_what_matters(tmp_path: pathlib.Path) -> None:
    sides = []
    for name, kinds in (("before", ("view", "buy")), ("after", ("view", "view"))):
        rows = [(f"u{n}", "ABC"[n % 3], n, kinds[n % 2]) for n in range(200)]
        data = write_dataset(tmp_path / name, events(rows, "user_id,item_id,timestamp,event_type"))
        sides.append(str(data))
    schema = Schema(tmp_path / "anywhere")
    schema.path.mkdir()

    def drifted(limit: float) -> list[str]:
        schema.file.write_text(COMPARATOR.replace("LIMIT", str(limit)))
        report = compare_by_schemas(*sides, {"interactions": schema})
        return [f"{found.feature}:{found.measure}" for found in report.drifted]

    # Half of what happened was bought, and nothing is: a change of 0.5.
    assert drifted(0.4) == ["interactions.event_type:l_infinity"] and drifted(0.6) == []
