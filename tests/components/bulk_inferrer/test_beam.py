import contextlib
import json
import pathlib
from collections.abc import Iterator, Sequence

import apache_beam as beam
import pytest

from homefeed.components.artifacts.user_requests import UserTables
from homefeed.components.beam.pipeline import beam_pipeline
from homefeed.components.bulk_inferrer import beam as bulk
from homefeed.components.bulk_inferrer.beam import Asked, RecommendShard, infer
from homefeed.components.bulk_inferrer.shards import count_users, make_shards
from tests.runs import ASKED_AT
from tests.toy_artifacts import cut, transformed_examples

ASKED = Asked(k=2, now=ASKED_AT, batch_size=2)


@pytest.fixture
def tables(tmp_path: pathlib.Path) -> UserTables:
    graph, *tables = transformed_examples(tmp_path / "tables", lurker="用户")
    for table in tables:
        cut(table, 3)
    return UserTables.of(graph, *tables)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def test_finished_shards_are_kept_and_only_the_others_made(
    toy_models: dict[str, pathlib.Path], tables: UserTables, folder: pathlib.Path
) -> None:
    shards, model = make_shards(tables), toy_models["fused"] / "Format-Serving"
    (folder / f"{shards[1].name}.parquet").write_bytes(b"finished")
    made = infer(shards, tables, model, folder, ASKED)
    assert made == [shards[0], shards[2]] and count_users(made, folder) == 2
    assert (folder / f"{shards[1].name}.parquet").read_bytes() == b"finished"
    assert (folder / f"{shards[2].name}.jsonl").is_file()
    assert infer(shards, tables, model, folder, ASKED) == []
    assert len(list(folder.iterdir())) == 5  # No history stays in a file.


def test_a_worker_recommends_for_each_user_of_its_shard_the_shortest_history_first(
    toy_models: dict[str, pathlib.Path], tmp_path: pathlib.Path, folder: pathlib.Path
) -> None:
    tables = UserTables.of(*transformed_examples(tmp_path, lurker="用户"))
    worker = RecommendShard(tables, toy_models["fused"] / "Format-Serving", folder, ASKED)
    worker.setup()
    (shard,) = make_shards(tables)
    assert list(worker.process(shard)) == [shard.name] and shard.is_finished(folder)
    lines = (folder / f"{shard.name}.jsonl").read_text(encoding="utf-8").splitlines()
    # Ranking turns retrieval's order round: the rarest first, i7 to i1; u2 had i3 to i7.
    assert [(row["user_id"], row["items"]) for row in map(json.loads, lines)] == [
        ("用户", ["i7", "i6"]),
        ("u0", ["i7", "i6"]),
        ("u1", ["i7", "i6"]),
        ("u2", ["i2", "i1"]),
    ]


def test_requests_are_of_the_time_that_is_asked_for(tables: UserTables, folder: pathlib.Path) -> None:
    worker = RecommendShard(tables, folder, folder, ASKED)
    assert {request.timestamp for request in worker._requests(make_shards(tables)[0])} == {ASKED_AT}


def test_the_pipeline_holds_nothing_of_the_users(
    toy_models: dict[str, pathlib.Path], tables: UserTables, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    @contextlib.contextmanager
    def measured(runner: str, options: Sequence[str]) -> Iterator[beam.Pipeline]:
        with beam_pipeline(runner, options) as pipeline:
            yield pipeline
            sizes.append(len(pipeline.to_runner_api().SerializeToString()))

    monkeypatch.setattr(bulk, "beam_pipeline", measured)
    for max_users in (0, 4):  # What is not for all has looked at who there is.
        (folder / str(max_users)).mkdir()
        shards, model = make_shards(tables, max_users), toy_models["fused"] / "Format-Serving"
        infer(shards, tables, model, folder / str(max_users), ASKED)
    assert sizes[1] <= sizes[0] + 100  # What is pickled is compressed as well: another folder, other bytes.


def test_a_model_that_is_not_there_leaves_nothing_behind(tables: UserTables, folder: pathlib.Path) -> None:
    with pytest.raises(OSError, match="no-model"):
        infer(make_shards(tables), tables, folder.with_name("no-model"), folder, ASKED)
    assert not list(folder.iterdir())
