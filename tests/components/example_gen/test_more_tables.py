"""Relations and facts: counted row by row, joined, bounded, and whatever they hold, no run stops without a reason."""

from __future__ import annotations

import pathlib
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from homefeed.components import example_gen
from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import Quarantine
from homefeed.components.drift.sources.data_folder import summarize
from homefeed.components.example_gen import relations
from homefeed.components.example_gen.items_table import read_items
from homefeed.components.example_gen.relations import MAX_OTHERS, keep_relations
from homefeed.components.example_validator.dataset_page import write_page
from homefeed.schemas.dataset import DatasetError
from homefeed.schemas.privacy import pseudonym
from tests.components.ingested import DESCRIPTION, digests, events, ingest, write_dataset

LOG = events([("u1", "A", 1), ("u1", "B", 2), ("u2", "C", 3), ("u2", "A", 4)])
TABLES = """\
max_bad_fraction: 0.2
knowledge:
  path: facts.csv
  columns: {series: 系列}
  features: {series: {kind: categories}, author: {kind: categories}}
relations: {path: relations.csv}
"""
FACTS = """item_id,relation,value
A,系列,基地
A,系列,基地
A,author,Ann|Lee
B,author,Bo
B,author,Ann|Lee
B,系列,
X,author,Nobody
X,isbn,1
C,isbn,2
"""
RELATIONS = """user_id,other_id,kind
u1,u2,follows
u1,u1,follows
u1,u9,friend
u2,u1,blocks
u1,u2,friend
,u2,follows
"""


def write(folder: pathlib.Path, facts: str = FACTS, related: str = RELATIONS, more: str = TABLES) -> pathlib.Path:
    data = write_dataset(folder, LOG, description=DESCRIPTION + more)
    (data / "facts.csv").write_text(facts, encoding="utf-8")
    (data / "relations.csv").write_text(related, encoding="utf-8")
    return data


def counts(outputs: example_gen.Outputs, table: str) -> dict[str, Any]:
    found: dict[str, Any] = outputs.quarantine.read_json(Quarantine.COUNTS_FILE)[table]
    names = ("written", "quarantined", "duplicates", "expired")
    assert found["rows"] == sum(found[name] for name in names) + sum(found["unused"].values())
    return found


def columns(rows: pa.RecordBatch) -> dict[str, list[list[str]]]:
    read = {row["item_id"][0].decode(): row for row in rows.to_pylist()}
    return {
        name: [[one.decode() for one in read[item][name] or ()] for item in "ABC"] for name in ("series", "author")
    }


def pairs(outputs: example_gen.Outputs) -> list[tuple[str, str]]:
    rows = example_io.read_split(outputs.relations, "all").to_pylist()
    return [(row["user_id"][0].decode(), row["other_id"][0].decode()) for row in rows]


def test_facts_are_columns_of_the_items_wherever_these_are_read(tmp_path: pathlib.Path) -> None:
    data = write(tmp_path / "data")
    outputs = ingest(data, tmp_path / "out")
    wanted = {"series": [["基地"], [], []], "author": [["Ann|Lee"], ["Bo", "Ann|Lee"], []]}
    assert columns(example_io.read_split(outputs.items, "all")) == wanted == columns(read_items(data))
    assert outputs.items.facts() == ["series", "author"] and outputs.items.declared()[-2:] == ["series", "author"]
    found = counts(outputs, "knowledge")
    assert (found["rows"], found["written"], found["duplicates"], found["quarantined"]) == (9, 4, 1, 1)
    assert found["unused"] == {"of the undeclared relation 'isbn'": 2, "on an unknown item": 1}
    assert found["reasons"] == {"value is missing": 1}
    drawn = summarize(data).columns
    assert drawn["items.author"].values == Counter({"Ann|Lee": 2, "Bo": 1})
    write_page(data, tmp_path / "page.html", outputs.quarantine.read_json(Quarantine.COUNTS_FILE))
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "items.series" in page and "4 rows of knowledge" in page and "undeclared relation &#x27;isbn&#x27;" in page


def test_relations_are_a_row_each_and_the_last_row_of_two_people_counts(tmp_path: pathlib.Path) -> None:
    outputs = ingest(write(tmp_path / "data"), tmp_path / "out")
    assert sorted(pairs(outputs)) == [("u1", "u2"), ("u1", "u9"), ("u2", "u1")]
    found = counts(outputs, "relations")
    assert found["unused"] == {"to oneself": 1} and (found["duplicates"], found["quarantined"]) == (1, 1)
    friends = write(tmp_path / "friends", more=TABLES.replace("relations.csv", "relations.csv, kinds: [friend]"))
    outputs = ingest(friends, tmp_path / "of-kinds")
    assert pairs(outputs) == [("u1", "u2"), ("u1", "u9")]  # The last in the table first.
    assert counts(outputs, "relations")["unused"]["of kinds that dataset.yaml does not ask for (`kinds`)"] == 1


def test_ids_on_both_sides_become_pseudonyms(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER_KEY", "0123456789abcdef")
    outputs = ingest(write(tmp_path / "data"), tmp_path / "out", user_key="env:USER_KEY")
    known = {pseudonym(user, b"0123456789abcdef"): user for user in ("u1", "u2", "u9")}
    assert sorted((known[a], known[b]) for a, b in pairs(outputs)) == [("u1", "u2"), ("u1", "u9"), ("u2", "u1")]


def test_the_line_says_what_was_not_used(tmp_path: pathlib.Path) -> None:
    from homefeed.components.artifacts.types import DatasetDir
    from homefeed.components.example_gen import component
    from homefeed.schemas.dataset import load_dataset

    data = write(tmp_path / "data")
    outputs = ingest(data, tmp_path / "out")
    said = component.ingest(load_dataset(data), example_gen.Inputs(DatasetDir(data)), outputs, example_gen.Config())
    for part in (
        "3 relations", "4 facts", "1 rows of relations to oneself", "1 rows of knowledge on an unknown item",
        "2 rows of knowledge of the undeclared relation 'isbn'", "1 relations to people of whom nothing is known",
    ):  # fmt: skip
        assert part in said, said


@pytest.mark.parametrize(
    ("facts", "related", "message"),
    [
        ("X,author,Bo\nY,author,Al\n", "", r"knowledge: none of its 2 rows can be used. 2 × on an unknown item"),
        ("A,writer,Bo\n", "", r"knowledge: none of its 1 rows can be used. 1 × of the undeclared relation 'writer'"),
        ("A,author,\nA,author,Bo\n", "", r"knowledge: 1 of 2 rows cannot be used.* value is missing"),
        ("", "u1,u1,x\n", r"relations: none of its 1 rows can be used. 1 × to oneself"),
    ],
)
def test_tables_that_are_of_no_use_stop_the_run(
    facts: str, related: str, message: str, tmp_path: pathlib.Path
) -> None:
    data = write(tmp_path / "data", FACTS.splitlines()[0] + "\n" + facts, "user_id,other_id,kind\n" + related)
    with pytest.raises(DatasetError, match=message):
        ingest(data, tmp_path / "out")


def test_tables_may_be_empty_and_spans_may_lack_them(tmp_path: pathlib.Path) -> None:
    empty = write(tmp_path / "data", "item_id,relation,value\n", "user_id,other_id\n")
    outputs = ingest(empty, tmp_path / "empty")
    assert pairs(outputs) == [] and example_io.read_split(outputs.items, "all").num_rows == 3
    assert columns(read_items(empty)) == {"series": [[], [], []], "author": [[], [], []]}
    by_span = TABLES.replace("facts.csv", "'facts/{SPAN}.csv'").replace("relations.csv", "'relations/{SPAN}.csv'")
    data = write(tmp_path / "spans", more=by_span)
    assert pairs(ingest(data, tmp_path / "none")) == [] and read_items(data).num_rows == 3
    summarize(data)


def test_shards_and_their_order_change_nothing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from homefeed.schemas.tables.source import Source

    data = write(tmp_path / "data")
    one = ingest(data, tmp_path / "one")
    monkeypatch.setattr(Source, "num_bytes", property(lambda source: 3 << 25))
    many = ingest(data, tmp_path / "many")
    assert len(many.items.split_files("all")) == 6 and len(many.relations.split_files("all")) == 3
    assert columns(example_io.read_split(one.items, "all")) == columns(example_io.read_split(many.items, "all"))
    assert sorted(pairs(one)) == sorted(pairs(many))
    assert counts(one, "knowledge") == counts(many, "knowledge")
    assert counts(one, "relations") == counts(many, "relations")
    assert digests(tmp_path / "one") == digests(ingest_again(data, tmp_path, monkeypatch))


def ingest_again(data: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.undo()
    ingest(data, tmp_path / "again")
    return tmp_path / "again"


def test_of_each_user_so_many_others_are_kept_the_last_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    users = ["a"] * (MAX_OTHERS + 3) + ["b"] * 2
    others = [f"o{n}" for n in range(MAX_OTHERS + 3)] + ["x", "y"]
    kept, counted = keep_relations(pa.RecordBatch.from_pydict({"user_id": users, "other_id": others}))
    found = kept.to_pydict()
    assert found["other_id"] == [f"o{n}" for n in range(MAX_OTHERS + 2, 2, -1)] + ["y", "x"]
    assert found["user_id"] == ["a"] * MAX_OTHERS + ["b"] * 2
    assert counted[relations.BEYOND] == 3 and counted["written"] == MAX_OTHERS + 2
