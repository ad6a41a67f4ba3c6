import contextlib
import json
import pathlib
from collections.abc import Iterator, Sequence

import apache_beam as beam
import pytest

from homefeed.components.beam.pipeline import beam_pipeline
from homefeed.components.bulk_inferrer import beam as bulk
from homefeed.components.bulk_inferrer.beam import RecommendShard, infer
from homefeed.components.bulk_inferrer.shards import make_shards, write_requests
from homefeed.models.requests import Event, Request


def test_finished_shards_are_kept_and_only_the_others_made(
    toy_models: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    requests = [Request(f"u{number}", [Event("i1")] * number) for number in range(5)]
    shards = make_shards([request.user_id for request in requests], 2)
    assert [len(shard.user_ids) for shard in shards] == [2, 2, 1]
    made: list[str] = []

    def of(user_ids: Sequence[str]) -> Iterator[Request]:
        made.extend(user_ids)
        return (request for request in requests if request.user_id in user_ids)

    (tmp_path / f"{shards[1].name}.parquet").write_bytes(b"finished")
    model = toy_models["fused"] / "Format-Serving"
    assert infer(shards, of, model, tmp_path, k=2, batch_size=2) == 3
    assert made == ["u0", "u1", "u4"]
    assert (tmp_path / f"{shards[1].name}.parquet").read_bytes() == b"finished"
    assert (tmp_path / f"{shards[2].name}.jsonl").is_file()
    assert infer(shards, of, model, tmp_path, k=2, batch_size=2) == 0


def test_a_worker_recommends_for_each_user_of_its_shard(
    toy_models: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    worker = RecommendShard(toy_models["fused"] / "Format-Serving", tmp_path, k=2, batch_size=1)
    worker.setup()
    (shard,) = make_shards(["a", "b"], 10)
    write_requests([Request("b"), Request("a", [Event("i7")])], tmp_path, shard.name)
    assert list(worker.process(shard.name)) == [shard.name] and shard.is_finished(tmp_path)
    lines = (tmp_path / f"{shard.name}.jsonl").read_text().splitlines()
    # Ranking turns retrieval's order round: the rarest first, i7 to i1.
    assert [(row["user_id"], row["items"]) for row in map(json.loads, lines)] == [
        ("b", ["i7", "i6"]),
        ("a", ["i6", "i5"]),
    ]


def test_the_pipeline_does_not_grow_with_users(
    toy_models: dict[str, pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    @contextlib.contextmanager
    def measured(runner: str, options: Sequence[str]) -> Iterator[beam.Pipeline]:
        with beam_pipeline(runner, options) as pipeline:
            yield pipeline
            sizes.append(len(pipeline.to_runner_api().SerializeToString()))

    monkeypatch.setattr(bulk, "beam_pipeline", measured)
    for num_users in (10, 40):
        folder = tmp_path / str(num_users)
        folder.mkdir()
        everybody = make_shards([f"user-{number:05d}" for number in range(num_users)], 50)
        infer(
            everybody,
            lambda users: (Request(user, [Event("i1")] * 20) for user in users),
            toy_models["fused"] / "Format-Serving",
            folder,
            k=1,
            batch_size=50,
        )
    assert sizes[1] <= sizes[0] + 100  # What is pickled is compressed as well: another folder, other bytes.


@pytest.mark.parametrize("is_model_there", [True, False])
def test_no_history_stays_in_a_file(
    toy_models: dict[str, pathlib.Path], tmp_path: pathlib.Path, is_model_there: bool
) -> None:
    model = toy_models["fused"] / "Format-Serving" if is_model_there else tmp_path / "no-model"
    (tmp_path / ".shard-00001-of-00002.requests.7.tmp").write_text("of a process that was killed")
    with contextlib.nullcontext() if is_model_there else pytest.raises(OSError, match="no-model"):
        infer(make_shards(["a", "b"], 1), lambda users: map(Request, users), model, tmp_path, k=1, batch_size=1)
    assert not list(tmp_path.glob(".*")) and bool(list(tmp_path.iterdir())) == is_model_there


def test_nobody_waits_for_nobody(toy_models: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    model = toy_models["fused"] / "Format-Serving"
    assert infer([], lambda users: (), model, tmp_path, k=2, batch_size=2) == 0 and not list(tmp_path.iterdir())
