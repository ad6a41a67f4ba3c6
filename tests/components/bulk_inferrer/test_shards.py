import dataclasses
import json
import math
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homefeed.components.bulk_inferrer.shards import Shard, make_shards, read_requests, write_requests, write_shard
from homefeed.models.requests import Event, Request

ROWS = [
    {"user_id": "用户", "items": ["A", "茶"], "scores": [0.5, 0.25]},
    {"user_id": "nobody", "items": [], "scores": []},
]


def test_users_are_parted_in_their_order() -> None:
    shards = make_shards(["a", "b", "c", "d", "e"], 2)
    assert [shard.name for shard in shards] == [f"shard-0000{place}-of-00003" for place in range(3)]
    assert [shard.user_ids for shard in shards] == [("a", "b"), ("c", "d"), ("e",)]


@pytest.mark.parametrize(("num_users", "sizes"), [(0, []), (1, [1]), (3, [3]), (4, [3, 1])])
def test_no_shard_is_empty(num_users: int, sizes: list[int]) -> None:
    shards = make_shards([str(user) for user in range(num_users)], 3)
    assert [len(shard.user_ids) for shard in shards] == sizes


def test_a_shard_is_written_in_both_formats_and_nothing_stays_behind(tmp_path: pathlib.Path) -> None:
    write_shard(ROWS, tmp_path, "shard-00000-of-00001")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "shard-00000-of-00001.jsonl",
        "shard-00000-of-00001.parquet",
    ]
    lines = (tmp_path / "shard-00000-of-00001.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == ROWS and "用户" in lines[0]
    table = pq.read_table(tmp_path / "shard-00000-of-00001.parquet")
    assert table.to_pylist() == ROWS
    assert table.schema.field("scores").type.value_type == pa.float32()


def test_requests_are_read_as_they_were_written(tmp_path: pathlib.Path) -> None:
    history = [Event("茶", 0.1 + 0.2, "buy", 2**40, {"device": "phone", "paid": 1.5}), Event("A")]
    asked = [
        Request(
            "用户",
            history,
            {"age": 31.0, "tags": ["a", "b"]},
            7,
            [3, 4],
            {"brand": ["x"]},
            {"device": "tv"},
            "clicks",
        ),
        Request('quoted " and \u2028 line'),
    ]
    write_requests(asked, tmp_path, "shard-00000-of-00001")
    found = list(read_requests(tmp_path, "shard-00000-of-00001"))
    first, second = (dataclasses.replace(event, value=0) for event in found[0].history)
    assert [first, second] == [dataclasses.replace(event, value=0) for event in history]
    assert found[0].history[0].value == 0.1 + 0.2 and math.isnan(found[0].history[1].value)
    assert dataclasses.replace(found[0], history=()) == dataclasses.replace(asked[0], history=())
    assert found[1].user_id == asked[1].user_id and not found[1].history
    assert [path.name for path in tmp_path.iterdir()] == [".shard-00000-of-00001.requests"]


def test_a_shard_is_finished_when_its_parquet_file_is_there(tmp_path: pathlib.Path) -> None:
    shard = Shard("shard-00000-of-00001", ())
    (tmp_path / "shard-00000-of-00001.jsonl").write_text("")
    (tmp_path / ".shard-00000-of-00001.parquet.1.tmp").write_text("")
    assert not shard.is_finished(tmp_path)
    write_shard([], tmp_path, shard.name)
    assert shard.is_finished(tmp_path)
    assert pq.read_table(tmp_path / f"{shard.name}.parquet").schema.names == ["user_id", "items", "scores"]
