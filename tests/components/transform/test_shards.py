"""Many shards are what one is, in another order."""

import pathlib
import pickle
from typing import Any

import pytest

from homefeed.components import transform
from homefeed.components.artifacts import example_io, transformed
from homefeed.components.artifacts.types import SPLITS, DatasetDir, Examples, TransformGraph
from homefeed.components.artifacts.user_requests import UserTables
from homefeed.components.transform.shards import CountShard, EncodeShard, Tables
from homefeed.models.exposures import Exposures
from homefeed.models.sequences import Sequences
from homefeed.schemas.dataset import load_dataset
from tests.components.ingested import ingest
from tests.components.transform.shop import NOTE, NUM_USERS, write_shop


def run(folder: pathlib.Path, note: str) -> tuple[transform.Inputs, transform.Outputs, str]:
    data = write_shop(folder / "data", note)
    found = ingest(data, folder / "out", shard_megabytes=1)
    inputs = transform.Inputs(DatasetDir(data), found.interactions, found.items, found.users, found.exposures)
    outputs = transform.Outputs(TransformGraph(folder / "graph"), Examples(folder / "examples"))
    return inputs, outputs, transform.run(inputs, outputs, transform.Config())


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> tuple[transform.Inputs, transform.Outputs, str]:
    return run(tmp_path_factory.mktemp("one"), "")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[transform.Inputs, transform.Outputs, str]:
    return run(tmp_path_factory.mktemp("many"), NOTE)


def sequences(outputs: transform.Outputs, split: str) -> Sequences:
    return transformed.load_sequences(outputs.transform_graph, outputs.examples, split)


def of_users(found: Sequences) -> dict[bytes, Any]:
    events = [found.item_index, found.timestamp, found.positive, found.query_token_ids]
    events += [*found.event_categorical.values(), *found.event_numeric.values()]
    return {
        user: (
            found.num_history[row],
            [repr(column[found.row_splits[row] : found.row_splits[row + 1]].tolist()) for column in events],
            [repr(table[row].tolist()) for table in (*found.categorical.values(), *found.numeric.values())],
        )
        for row, user in enumerate(found.user_ids)
    }


def of_impressions(found: Exposures | None) -> list[Any]:
    assert found is not None and found.outcomes.keys() == {"acted", "liked", "hidden", "bought"}
    cards = [found.item_index, found.clicked, *found.outcomes.values()]
    return sorted(
        (user, second, [column[a:b].tolist() for column in cards])
        for user, second, a, b in zip(
            found.user_ids,
            found.timestamp.tolist(),
            found.row_splits[:-1],
            found.row_splits[1:],
            strict=True,
        )
    )


def test_requests_are_of_the_same_shards_though_little_was_shown(many: Any, one: Any) -> None:
    found = [UserTables.of(*vars(outputs).values(), inputs.users) for inputs, outputs, _ in (many, one)]
    assert [tables.shards.num_shards for tables in found] == [12, 1]
    of_many, of_one = ({request.user_id: repr(request) for request in tables} for tables in found)
    assert of_many == of_one and len(of_one) > NUM_USERS  # Some are in the table of users alone.
    assert {len(many[1].examples.split_files(f"{split}_exposures")) for split in SPLITS} != {12}


def test_many_shards_hold_what_one_holds(
    one: tuple[transform.Inputs, transform.Outputs, str], many: tuple[transform.Inputs, transform.Outputs, str]
) -> None:
    assert one[2] == many[2]
    assert one[1].transform_graph.digest() == many[1].transform_graph.digest()
    for split in SPLITS:
        alone, together = sequences(one[1], split), sequences(many[1], split)
        assert of_users(alone) == of_users(together)
        assert alone.categorical.keys() == together.categorical.keys() == {"country"}
        assert alone.numeric.keys() == together.numeric.keys() == {"age", "taste"}
        shown = [transformed.load_exposures(outputs.examples, split) for outputs in (one[1], many[1])]
        assert of_impressions(shown[0]) == of_impressions(shown[1])


def test_a_shard_of_each_table_is_of_the_same_users(
    many: tuple[transform.Inputs, transform.Outputs, str],
) -> None:
    inputs, outputs, _ = many
    tables = Tables(inputs.interactions, inputs.users, inputs.exposures)
    assert tables.num_shards == 12
    log, people = zip(*((tables.events(shard), tables.people(shard)) for shard in range(12)), strict=True)
    assert sum(len(part.user_ids) for part in log) == NUM_USERS and not all(len(part.user_ids) for part in log)
    for shard, part in enumerate(people):
        ids = set(example_io.single(part, "user_id", b""))
        shown = [columns["user_id"][0].tolist() for columns in tables.shown(shard).values() if columns]
        others = {*log[shard].user_ids, *(user for users in shown for user in users)}
        assert others - ids <= {b"u0", b"u1"}  # Who are in no table.
    for split in SPLITS:
        assert len(outputs.examples.split_files(split)) == 12


def test_tables_that_were_cut_differently_are_one_shard(
    one: tuple[transform.Inputs, transform.Outputs, str],
    many: tuple[transform.Inputs, transform.Outputs, str],
    tmp_path: pathlib.Path,
) -> None:
    inputs = transform.Inputs(many[0].dataset, many[0].interactions, many[0].items, one[0].users, many[0].exposures)
    outputs = transform.Outputs(TransformGraph(tmp_path / "graph"), Examples(tmp_path / "examples"))
    transform.run(inputs, outputs, transform.Config())
    for split in SPLITS:
        alone, read_as_one = (found.examples.split_files(split) for found in (one[1], outputs))
        assert [file.read_bytes() for file in alone] == [file.read_bytes() for file in read_as_one]


def test_a_table_that_is_not_there_cuts_nothing(
    many: tuple[transform.Inputs, transform.Outputs, str], tmp_path: pathlib.Path
) -> None:
    nothing = Examples(tmp_path / "exposures")
    example_io.write_none(nothing, SPLITS)
    assert Tables(many[0].interactions, many[0].users, nothing).num_shards == 12


def test_what_a_worker_gets_is_small(
    many: tuple[transform.Inputs, transform.Outputs, str],
) -> None:
    inputs, outputs, _ = many
    dataset, tables = load_dataset(inputs.dataset.path), Tables(inputs.interactions, inputs.users, inputs.exposures)
    between = outputs.transform_graph.path / "between"
    encode = EncodeShard(tables, dataset, between, outputs.transform_graph, outputs.examples, 12, 8, False, True)
    assert len(pickle.dumps(encode)) < 10_000 and len(pickle.dumps(CountShard(tables, dataset, between))) < 10_000


def test_nothing_is_left_of_the_steps_however_they_end(
    one: tuple[transform.Inputs, transform.Outputs, str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not (one[1].transform_graph.path / "between").exists()
    (tmp_path / "graph" / "between" / "CountShard").mkdir(parents=True)  # As a process leaves it that is killed.

    def fail(*_: Any) -> None:
        raise OSError("no more events")

    monkeypatch.setattr(EncodeShard, "__call__", fail)
    outputs = transform.Outputs(TransformGraph(tmp_path / "graph"), Examples(tmp_path / "examples"))
    with pytest.raises(OSError, match="no more events"):
        transform.run(one[0], outputs, transform.Config())
    assert {path.name for path in (tmp_path / "graph").iterdir()} > {"catalogue.npz"}
    assert not (tmp_path / "graph" / "between").exists()
