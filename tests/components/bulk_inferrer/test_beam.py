import json
import pathlib

from homefeed.components.bulk_inferrer.beam import RecommendShard, infer
from homefeed.components.bulk_inferrer.shards import make_shards
from homefeed.models.requests import Event, Request


def test_finished_shards_are_kept_and_only_the_others_made(
    toy_models: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    requests = [Request(f"u{number}", [Event("i1")] * number) for number in range(5)]
    shards = make_shards(requests, 2)
    assert [len(shard.requests) for shard in shards] == [2, 2, 1]
    (tmp_path / f"{shards[1].name}.parquet").write_bytes(b"finished")
    model = toy_models["fused"] / "Format-Serving"
    assert infer(shards, model, tmp_path, k=2, batch_size=2) == 3
    assert (tmp_path / f"{shards[1].name}.parquet").read_bytes() == b"finished"
    assert (tmp_path / f"{shards[2].name}.jsonl").is_file()
    assert infer(shards, model, tmp_path, k=2, batch_size=2) == 0


def test_a_worker_recommends_for_each_user_of_its_shard(
    toy_models: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    worker = RecommendShard(toy_models["fused"] / "Format-Serving", tmp_path, k=2, batch_size=1)
    worker.setup()
    (shard,) = make_shards([Request("a", [Event("i7")]), Request("b")], 10)
    assert list(worker.process(shard)) == [shard.name] and shard.is_finished(tmp_path)
    lines = (tmp_path / f"{shard.name}.jsonl").read_text().splitlines()
    # Ranking turns retrieval's order round: the rarest first, i7 to i1; "b" has the shorter history.
    assert [(row["user_id"], row["items"]) for row in map(json.loads, lines)] == [
        ("b", ["i7", "i6"]),
        ("a", ["i6", "i5"]),
    ]


def test_nobody_waits_for_nobody(toy_models: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    model = toy_models["fused"] / "Format-Serving"
    assert infer([], model, tmp_path, k=2, batch_size=2) == 0 and not list(tmp_path.iterdir())
