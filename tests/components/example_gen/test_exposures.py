import dataclasses
import pathlib

import pytest

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import SPLITS, Examples, Quarantine
from homefeed.components.example_gen.counts import TableCounts, summarize
from homefeed.schemas.columns import TABLES
from homefeed.schemas.dataset import DatasetError, load_dataset
from homefeed.schemas.tables import find_files
from tests.components.ingested import DESCRIPTION, events, histories, ingest, write_dataset

COLUMNS = "impression_id,user_id,item_id,timestamp,position,propensity,clicked"
# Ten events at seconds 1 … 10: eval begins at 9, test at 10.
LOG = [("u1", "ABC"[second % 3], second) for second in range(1, 11)]


def shown(examples: Examples, split: str) -> list[tuple[object, ...]]:
    """Impression, time, and items with place and whether they were taken."""
    rows = example_io.read_split(examples, split).to_pylist()
    return [
        (
            row["impression_id"][0].decode(),
            row["timestamp"][0],
            [item.decode() for item in row["item_id"]],
            row["position"],
            row.get("clicked"),
        )
        for row in rows
    ]


def write_exposures(folder: pathlib.Path, rows: str, columns: str = COLUMNS) -> pathlib.Path:
    data = write_dataset(folder, events(LOG), description=DESCRIPTION + "exposures: {path: exposures.csv}\n")
    (data / "exposures.csv").write_text(f"{columns}\n{rows}", encoding="utf-8")
    return data


def test_impressions_are_in_the_order_of_their_places_and_split_by_their_first_second(tmp_path: pathlib.Path) -> None:
    rows = "p2,u1,C,9,1,0.5,0\np1,u1,B,3,1,0.25,1\np1,u1,A,2,0,1,0\np2,u1,A,10,0,1,1\np3,u9,B,10,0,,0\n"
    outputs = ingest(write_exposures(tmp_path / "data", rows), tmp_path / "out")
    assert shown(outputs.exposures, "train") == [("p1", 2, ["A", "B"], [0, 1], [0, 1])]
    assert shown(outputs.exposures, "eval") == [("p2", 9, ["A", "C"], [0, 1], [1, 0])]
    assert shown(outputs.exposures, "test") == [("p3", 10, ["B"], [0], [0])]
    (row,) = example_io.read_split(outputs.exposures, "train").to_pylist()
    assert row["propensity"] == [1, 0.25]
    # Never an event: ten there were, ten there are.
    assert sum(len(items) for split in SPLITS for items in histories(outputs.interactions, split).values()) == 10


def test_an_item_is_shown_once_in_an_impression_and_the_last_row_counts(tmp_path: pathlib.Path) -> None:
    rows = "p1,u1,A,2,0,1,0\np1,u1,A,2,0,1,1\np1,u2,A,2,5,1,0\n"  # Of another user: another impression.
    outputs = ingest(write_exposures(tmp_path / "data", rows), tmp_path / "out")
    assert sorted(shown(outputs.exposures, "train")) == [("p1", 2, ["A"], [0], [1]), ("p1", 2, ["A"], [5], [0])]
    counts = outputs.quarantine.read_json(Quarantine.COUNTS_FILE)["exposures"]
    assert (counts["rows"], counts["written"], counts["duplicates"]) == (3, 2, 1)


def test_bad_exposures_are_in_quarantine(tmp_path: pathlib.Path) -> None:
    rows = "p1,u1,A,2,0,1,0\n,u1,B,2,1,1,0\np1,u1,B,soon,1,1,0\np1,u1,C,2,2,3,0\np1,u1,B,9999999999,1,1,0\n"
    data = write_exposures(tmp_path / "data", rows)
    (data / "dataset.yaml").write_text((data / "dataset.yaml").read_text() + "max_bad_fraction: 0.7\n")
    outputs = ingest(data, tmp_path / "out")
    # A propensity of 3 is lost; the row stays.
    assert shown(outputs.exposures, "train") == [("p1", 2, ["A", "C"], [0, 2], [0, 0])]
    assert len((outputs.quarantine.path / "exposures.jsonl").read_text().splitlines()) == 3
    assert outputs.quarantine.read_json(Quarantine.COUNTS_FILE)["exposures"]["quarantined"] == 3


def test_too_many_bad_exposures_stop_the_run(tmp_path: pathlib.Path) -> None:
    data = write_exposures(tmp_path / "data", ",u1,A,2,0,1,0\np1,u1,B,2,1,1,0\n")
    with pytest.raises(DatasetError, match=r"exposures: 1 of 2 rows cannot be used, which is 50.0%"):
        ingest(data, tmp_path / "out")


def test_exposures_of_which_nothing_says_whether_they_were_taken_are_refused(tmp_path: pathlib.Path) -> None:
    columns = COLUMNS.removesuffix(",clicked")
    with pytest.raises(DatasetError, match="give the table a column `clicked`"):
        ingest(write_exposures(tmp_path / "data", "p1,u1,A,2,0,1\n", columns), tmp_path / "out")


def test_events_that_say_shown_are_exposures(tmp_path: pathlib.Path) -> None:
    columns = "user_id,item_id,timestamp,event_type,impression_id,position"
    rows = [("u1", "ABC"[second % 3], second, "click", "p1" if second == 3 else "", "") for second in range(1, 11)]
    rows += [("u1", "A", 2, "seen", "p1", "0"), ("u1", "B", 2, "seen", "p1", "1"), ("u1", "C", 2, "seen", "", "1")]
    description = DESCRIPTION + "shown: [seen]\nmax_bad_fraction: 0.1\n"
    outputs = ingest(
        write_dataset(tmp_path / "data", events(rows, columns), description=description), tmp_path / "out"
    )
    assert shown(outputs.exposures, "train") == [("p1", 2, ["A", "B"], [0, 1], None)]
    found = [histories(outputs.interactions, split).get("u1", []) for split in SPLITS]
    assert list(map(len, found)) == [8, 1, 1]  # As without what was shown.
    counts = outputs.quarantine.read_json(Quarantine.COUNTS_FILE)
    assert counts["interactions"]["reasons"] == {
        "impression_id is missing in an event of type seen (`shown` in dataset.yaml)": 1
    }
    assert (counts["interactions"]["rows"], counts["exposures"]["written"]) == (11, 2)


def test_events_that_say_shown_need_the_id_of_their_impression(tmp_path: pathlib.Path) -> None:
    data = write_dataset(
        tmp_path / "data", events([("u1", "A", 1, "seen")], "user_id,item_id,timestamp,event_type"),
        description=DESCRIPTION + "shown: [seen]\n",
    )  # fmt: skip
    with pytest.raises(DatasetError, match=r"Table 'interactions': .* has no column impression_id"):
        ingest(data, tmp_path / "out")


def test_without_exposures_their_splits_are_there_and_empty(tmp_path: pathlib.Path) -> None:
    outputs = ingest(write_dataset(tmp_path / "data", events(LOG)), tmp_path / "out")
    assert [example_io.read_split(outputs.exposures, split).num_rows for split in SPLITS] == [0, 0, 0]


def test_a_random_split_has_no_before_for_exposures(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DatasetError, match="events have no before and after"):
        ingest(write_exposures(tmp_path / "data", "p1,u1,A,2,0,1,0\n"), tmp_path / "out", split="random")


def test_columns_of_exposures_that_nothing_reads_are_named() -> None:
    counts = {name: TableCounts(1, 1, 0, 0, 0, {}, values={"title": 1}) for name in TABLES}
    read = dataclasses.replace(counts["interactions"], values={"impression_id": 1, "position": 0, "propensity": 3})
    said = "impression_id, propensity not used without exposures"
    assert said in summarize(counts | {"interactions": read})
    assert said not in summarize(counts | {"interactions": read, "exposures": counts["items"]})


def test_spans_may_have_no_exposures(tmp_path: pathlib.Path) -> None:
    """What was shown is known from some time on, and the interactions of before are of use all the same."""
    description = DESCRIPTION.replace("interactions.csv", "'interactions/{SPAN}.csv'")
    data = write_dataset(
        tmp_path / "data", "", description=description + 'exposures: {path: "exposures/{SPAN}.csv"}\n'
    )
    (data / "interactions").mkdir()
    for span in "12":
        (data / "interactions" / f"{span}.csv").write_text(events(LOG), encoding="utf-8")
    assert ingest(data, tmp_path / "none").exposures.split_files("train")
    (data / "exposures").mkdir()
    (data / "exposures" / "2.csv").write_text(f"{COLUMNS}\np1,u1,A,2,0,1,0\n", encoding="utf-8")
    assert len(shown(ingest(data, tmp_path / "all").exposures, "train")) == 1
    assert len(shown(ingest(data, tmp_path / "second", spans="2").exposures, "train")) == 1
    assert not _impressions(ingest(data, tmp_path / "first", spans="1").exposures)
    assert find_files(data, load_dataset(data).table("exposures"), "exposures", "1").files == ()


def _impressions(exposures: Examples) -> int:
    return sum(example_io.read_split(exposures, split).num_rows for split in SPLITS)
