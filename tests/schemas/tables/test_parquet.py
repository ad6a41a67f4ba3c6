import io

import pyarrow as pa
import pyarrow.parquet as pq

from tests.schemas.tables.reading import read, row


def test_parquet_of_other_types() -> None:
    table = pa.table(
        {
            "user_id": pa.array([1, 2, None]),
            "item_id": pa.array([b"a", b"\xff", b"c"]),
            "timestamp": pa.array([10, 20, 30], pa.timestamp("ms", tz="Europe/Paris")).cast(
                pa.timestamp("us", "UTC")
            ),
            "value": pa.array(["1", "2", "3"]).dictionary_encode(),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    rows, bad, _ = read(sink.getvalue(), "parquet")
    assert rows == [row("1", "a", 0, 1.0)]
    assert [(line, column, reason) for line, column, reason, _ in bad] == [
        (2, None, "not valid UTF-8"),
        (3, "user_id", "is missing"),
    ]
