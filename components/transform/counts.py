"""How often each value is there: what a shard of users tells of itself, added up over shards."""

from __future__ import annotations

import pathlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import pyarrow as pa

from homefeed.schemas.scratch import replacing

Counts = dict[str, Counter[bytes]]
"""What is counted → how often each value is there."""

_SCHEMA = pa.schema([("what", pa.string()), ("value", pa.large_binary()), ("count", pa.int64())])


def write(counts: Mapping[str, Mapping[bytes, int]], path: pathlib.Path) -> None:
    """Writes the counts of a shard as Arrow's file."""
    tables = [_table(what, counted) for what, counted in counts.items()]
    with replacing(path) as place, pa.OSFile(str(place), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as out:
        out.write_table(pa.concat_tables([_SCHEMA.empty_table(), *tables]))


def _table(what: str, counted: Mapping[bytes, int]) -> pa.Table:
    columns = [[what] * len(counted), list(counted), list(counted.values())]
    return pa.table(dict(zip(_SCHEMA.names, columns, strict=True)), schema=_SCHEMA)


def add_up(paths: Iterable[pathlib.Path]) -> Counts:
    """The counts of all shards together; of what nobody has, none."""
    parts = [pa.ipc.open_file(pa.OSFile(str(path))).read_all() for path in paths]
    found = (
        pa.concat_tables([_SCHEMA.empty_table(), *parts]).group_by(["what", "value"]).aggregate([("count", "sum")])
    )
    total: defaultdict[str, Counter[bytes]] = defaultdict(Counter)
    for what, value, count in zip(*(found[name].to_pylist() for name in ("what", "value", "count_sum")), strict=True):
        total[what][value] = count
    return total
