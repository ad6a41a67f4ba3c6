import pathlib

from homefeed.components.bulk_inferrer.beam import infer
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
