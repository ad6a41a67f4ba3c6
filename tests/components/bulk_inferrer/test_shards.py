import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homefeed.components.artifacts.user_requests import UserTables
from homefeed.components.bulk_inferrer import shards
from homefeed.components.bulk_inferrer.shards import Shard, make_shards, write_shard
from tests.toy_artifacts import cut, transformed_examples

ROWS = [
    {"user_id": "用户", "items": ["A", "茶"], "scores": [0.5, 0.25]},
    {"user_id": "nobody", "items": [], "scores": []},
    {"user_id": "u", "items": ["A"], "scores": [0.125]},
]
SHARD = Shard(0, "shard-00000-of-00001")


@pytest.mark.parametrize(
    ("max_users", "sizes"), [(0, [None, None]), (1, [1]), (2, [2]), (3, [2, 1]), (4, [2, 2]), (99, [2, 2])]
)
def test_the_first_users_are_those_of_the_first_shards(
    tmp_path: pathlib.Path, max_users: int, sizes: list[int | None]
) -> None:
    graph, *tables = transformed_examples(tmp_path, lurker="用户")
    for table in tables:
        cut(table, 2)
    found = make_shards(UserTables.of(graph, *tables), max_users)
    assert [shard.num_users for shard in found] == sizes
    assert [(shard.number, shard.name) for shard in found] == [
        (number, f"shard-{number:05d}-of-00002") for number in range(len(sizes))
    ]


def test_a_shard_is_written_in_both_formats_and_nothing_stays_behind(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "AT_ONCE", 2)
    write_shard(iter(ROWS), tmp_path, SHARD)
    names = ["shard-00000-of-00001.jsonl", "shard-00000-of-00001.parquet"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    lines = (tmp_path / names[0]).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == ROWS and "用户" in lines[0]
    table = pq.read_table(tmp_path / names[1])
    assert table.to_pylist() == ROWS
    assert table.schema.field("scores").type.value_type == pa.float32()


def test_a_shard_is_finished_when_its_parquet_file_is_there(tmp_path: pathlib.Path) -> None:
    (tmp_path / "shard-00000-of-00001.jsonl").write_text("")
    assert not SHARD.is_finished(tmp_path)
    write_shard([], tmp_path, SHARD)
    assert SHARD.is_finished(tmp_path)
    assert pq.read_table(SHARD.file(tmp_path)).schema.names == ["user_id", "items", "scores"]


def test_what_breaks_off_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_shard(({**row, "scores": [1 / 0]} for row in ROWS), tmp_path, SHARD)
    assert not list(tmp_path.iterdir())
