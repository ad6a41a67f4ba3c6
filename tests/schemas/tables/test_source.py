import gzip
import pathlib

import pytest

from homefeed.schemas.dataset import DatasetError, load_dataset
from homefeed.schemas.tables import find_files, find_table, source
from tests.components.ingested import DESCRIPTION, events, ingest, write_dataset


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda d: (d / "items.csv").unlink(), r"'items': no file at .*items.csv; .* holds dataset.yaml, inter"),
        (lambda d: (d / "users.csv").write_text("user_id\n"), "users is empty: users.csv has no rows"),
        (lambda d: (d / "users.csv").write_text(""), "users.csv has no columns, it is empty; expected user_id"),
        (
            lambda d: (d / "items.csv").write_text("Item_ID,name\nA,Apple\n"),
            r"has no column item_id. Columns there: Item_ID, name. .*`items.columns: \{item_id: Item_ID\}`",
        ),
        (lambda d: (d / "dataset.yaml").unlink(), "dataset.yaml does not exist"),
        (
            lambda d: (d / "dataset.yaml").write_text(DESCRIPTION.replace("users.csv", "users.dat")),
            "no file at",
        ),
        (lambda d: (d / "users.csv").write_bytes(b"user_id,\xff\nu1,2\n"), "not a header in UTF-8"),
        (lambda d: (d / "users.csv").write_text("user_id,user_id\nu1,2\n"), "user_id are there more than once"),
        (
            lambda d: (d / "users.csv").write_text("1,1,M\n"),
            r"columns 1 are there more than once in 1, 1, M; where this is no line of names, give them: `header",
        ),
        (
            lambda d: (d / "items.csv").write_text("\u200bitem_id,x\nA,1\n"),
            r'Columns there: x, "\\u200bitem_id"\. .* `items.columns: \{item_id: "\\u200bitem_id"\}`',
        ),
        (lambda d: (d / "items.csv").write_text("  \n"), "items.csv has no columns, it is empty; expected item_id"),
        (lambda d: (d / "items.csv").write_text("x,itemId\nA,1\n"), r"`items.columns: \{item_id: itemId\}`"),
        (
            lambda d: (d / "items.csv").write_text("x,'item_id'\nA,1\n"),
            r"`items.columns: \{item_id: \"'item_id'\"\}`",
        ),
    ],
)
def test_errors(tmp_path: pathlib.Path, break_it: object, message: str) -> None:
    data = write_dataset(tmp_path / "data", events([("u1", "A", 1)]))
    break_it(data)
    with pytest.raises(DatasetError, match=message):
        ingest(data, tmp_path / "out")


@pytest.fixture
def spans(tmp_path: pathlib.Path) -> pathlib.Path:
    """A data folder whose log comes in spans 1, 2 and 10, the second one in two versions."""
    description = DESCRIPTION.replace("interactions.csv", "'day-{SPAN}/v{VERSION}/*.csv'")
    data = write_dataset(tmp_path / "data", "", description=description)
    for place, rows in (("day-1/v1", 1), ("day-2/v1", 2), ("day-2/v2", 3), ("day-10/v1", 4)):
        (data / place).mkdir(parents=True)
        for part in "ba":
            (data / place / f"{part}.csv").write_text(events([("u1", "A", second) for second in range(rows)]))
    return data


def test_spans_are_in_the_order_of_their_numbers(spans: pathlib.Path) -> None:
    dataset = load_dataset(spans)
    assert find_files(spans, dataset.interactions, "interactions").spans == ("1", "2", "10")
    assert find_files(spans, dataset.table("items"), "items").spans == ()


def test_files_are_those_of_the_wanted_spans_in_their_last_version(spans: pathlib.Path) -> None:
    table = load_dataset(spans).interactions
    found = find_files(spans, table, "interactions", "2:").files
    names = [pathlib.Path(file.path).relative_to(spans).as_posix() for file in found]
    assert names == ["day-2/v2/a.csv", "day-2/v2/b.csv", "day-10/v1/a.csv", "day-10/v1/b.csv"]
    assert [file.num_bytes for file in found] == [pathlib.Path(file.path).stat().st_size for file in found]
    with pytest.raises(DatasetError, match="No span 7 at"):
        find_files(spans, table, "interactions", "7")


def test_a_source_knows_columns_size_and_spans(spans: pathlib.Path) -> None:
    source = find_table(spans, load_dataset(spans), "interactions", "last:2")
    assert source.name == "interactions" and source.spans == ("2", "10")
    assert list(source.features) == ["user_id", "item_id", "timestamp"]  # No other standard column is there.
    assert [file.format for file in source.files] == ["csv"] * 4
    assert source.num_bytes == sum(pathlib.Path(file.path).stat().st_size for file in source.files)


def test_columns_that_nothing_reads_are_known(tmp_path: pathlib.Path) -> None:
    description = DESCRIPTION.replace("interactions.csv}", "interactions.csv, columns: {value: stars}}")
    data = write_dataset(
        tmp_path, events([("u", "A", 1, 5, 2, "")], "user_id,item_id,timestamp,stars,Value,"), description=description
    )
    assert find_table(data, load_dataset(data), "interactions").unread == ("Value",)
    (data / "dataset.yaml").write_text("name: x\ninteractions: {path: interactions.csv, columns: {value: stars}}")
    assert find_table(data, load_dataset(data), "users").unread == ()


def test_a_source_is_read_file_by_file(spans: pathlib.Path) -> None:
    source = find_table(spans, load_dataset(spans), "interactions", "2:")
    of_files = [sum(batch.rows.num_rows for batch in source.read_file(index)) for index in range(4)]
    assert of_files == [3, 3, 4, 4]
    assert sum(batch.rows.num_rows for batch in source.read()) == 14
    (batch,) = source.read_file(0)
    assert batch.rows["timestamp"].to_pylist() == [0, 1, 2] and batch.bad == ()


def test_what_is_compressed_counts_for_more(tmp_path: pathlib.Path) -> None:
    text = events([("u1", "A", 1)])
    data = write_dataset(tmp_path, text)
    plain = find_table(data, load_dataset(data), "interactions").num_bytes
    (data / "interactions.csv").rename(data / "interactions.csv.gz")
    packed = gzip.compress(text.encode())
    (data / "interactions.csv.gz").write_bytes(packed)
    (data / "dataset.yaml").write_text(DESCRIPTION.replace("interactions.csv", "interactions.csv.gz"))
    assert plain == len(text)
    assert find_table(data, load_dataset(data), "interactions").num_bytes == len(packed) * source.COMPRESSION_RATIO


def test_a_declared_column_may_be_in_one_file_of_several(tmp_path: pathlib.Path) -> None:
    description = DESCRIPTION.replace("items.csv}", "'items-*.csv', features: {price: {kind: number}}}")
    data = write_dataset(tmp_path, events([("u1", "A", 1)]), description=description)
    (data / "items-1.csv").write_text("item_id,title\nA,Apple\n")
    with pytest.raises(DatasetError, match=r"items-1.csv has no column price. Columns there: item_id, title"):
        find_table(data, load_dataset(data), "items")
    (data / "items-2.csv").write_text("item_id,title,price\nB,Bread,2\n")
    source = find_table(data, load_dataset(data), "items")
    assert "price" in source.features
    assert [price for batch in source.read() for price in batch.rows["price"].to_pylist()] == [None, 2.0]


def test_what_is_required_stays_so_whatever_is_declared_of_it(tmp_path: pathlib.Path) -> None:
    declared = "interactions.csv, features: {timestamp: {kind: timestamp, unit: ms}}}"
    description = DESCRIPTION.replace("interactions.csv}", declared)
    data = write_dataset(tmp_path, events([("u1", "A", 1_700_000_000_000), ("u1", "A", "")]), description=description)
    (batch,) = find_table(data, load_dataset(data), "interactions").read()
    assert batch.rows["timestamp"].to_pylist() == [1_700_000_000]
    assert [(row.line, row.reason) for row in batch.bad] == [(3, "is missing")]


def test_what_a_format_does_not_have(tmp_path: pathlib.Path) -> None:
    description = DESCRIPTION.replace("interactions.csv}", "log.jsonl, delimiter: ';'}")
    data = write_dataset(tmp_path, "", description=description)
    (data / "log.jsonl").write_text('{"user_id": "u", "item_id": "i", "timestamp": 1}')
    with pytest.raises(DatasetError, match=r"log.jsonl is jsonl: `delimiter` and `header` are of CSV and TSV alone"):
        find_table(data, load_dataset(data), "interactions")


def test_a_column_under_another_name(tmp_path: pathlib.Path) -> None:
    description = DESCRIPTION.replace("users.csv}", "users.csv, columns: {user_id: member}}")
    data = write_dataset(tmp_path, events([("u1", "A", 1)]), users="member\nu1\n", description=description)
    (batch,) = find_table(data, load_dataset(data), "users").read()
    assert batch.rows.to_pydict() == {"user_id": ["u1"]}
