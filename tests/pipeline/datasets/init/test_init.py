"""`homefeed init`: files of strangers become a dataset, with no edit."""

from __future__ import annotations

import pathlib

import pytest

from homefeed.pipeline.datasets.init import describe
from homefeed.pipeline.datasets.init.look import Column, look
from homefeed.schemas.dataset import DatasetError, Positive, load_dataset
from homefeed.schemas.tables import find_table
from tests.pipeline.command import homefeed
from tests.pipeline.datasets.init import strangers

WANTED = {
    "retail events": {
        "interactions": {"user_id": "visitorid", "item_id": "itemid", "timestamp": "timestamp", "event_type": "event"}
    },
    "reviews": {
        "interactions": {
            "user_id": "reviewerID",
            "item_id": "asin",
            "timestamp": "unixReviewTime",
            "value": "overall",
        },
        "items": {"item_id": "asin", "title": "title", "categories": "categories"},
    },
    "without names": {
        "interactions": {"user_id": "column_1", "item_id": "column_2", "timestamp": "column_4", "value": "column_3"},
        "items": {"item_id": "column_1", "title": "column_2"},
        "users": {"user_id": "column_1"},
    },
    "chinese": {
        "interactions": {"user_id": "用户ID", "item_id": "商品ID", "timestamp": "行为时间", "event_type": "行为类型"},
        "items": {"item_id": "商品ID", "title": "标题", "categories": "类目"},
    },
    "invoices": {
        "interactions": {
            "user_id": "CustomerID",
            "item_id": "StockCode",
            "timestamp": "InvoiceDate",
            "title": "Description",
        }
    },
    "nested": {
        "interactions": {"user_id": "user.id", "item_id": "articleId", "timestamp": "clickedAt"},
        "items": {"item_id": "id", "title": "headline", "categories": "topics", "available_from": "publishedAt"},
    },
}
LIKED = {
    "retail events": Positive(event_types=("addtocart", "transaction")),
    "reviews": Positive(min_value=4),
    "without names": Positive(min_value=4),
    "chinese": Positive(event_types=("收藏", "购买")),
}


@pytest.mark.parametrize("name", strangers.LAYOUTS)
def test_tables_and_columns_are_told_and_every_row_can_be_read(name: str, tmp_path: pathlib.Path) -> None:
    folder = strangers.write(name, tmp_path / "shop")
    found = describe([folder], folder)
    assert {table: dict(columns) for table, columns in found.columns.items()} == WANTED[name]
    dataset = load_dataset(folder)
    assert dataset.positive == LIKED.get(name, Positive())
    for table in found.tables:
        batches = list(find_table(folder, dataset, table).read())
        rows, bad = sum(len(one.lines) for one in batches), sum(len(one.bad) for one in batches)
        assert rows and bad <= dataset.max_bad_fraction * (rows + bad)
        assert not any(one.lost for one in batches)


@pytest.mark.slow
@pytest.mark.parametrize("name", strangers.LAYOUTS)
def test_the_pipeline_runs_with_no_edit(name: str, tmp_path: pathlib.Path) -> None:
    folder = strangers.write(name, tmp_path / "shop")
    quick = pathlib.Path(__file__).parents[4] / "docs/quick.yaml"
    data = tmp_path / "data"
    assert homefeed("init", str(folder), "--out", str(data)) == 0
    assert homefeed("run", "--data", str(data), "--root", str(tmp_path / "root"), "--config", str(quick)) == 0


def test_what_was_decided_is_told_and_what_nothing_reads_is_in_the_file(tmp_path: pathlib.Path) -> None:
    folder = strangers.write("invoices", tmp_path)
    found = describe([folder / "Online Retail.csv"], tmp_path / "data")
    assert found.left_out["interactions"] == {"InvoiceNo": "too many values for a property of events"}
    assert found.features["interactions"] == {"Quantity": "number", "UnitPrice": "number", "Country": "category"}
    assert any("lack a user" in answer for answer in found.answers)
    text = found.path.read_text(encoding="utf-8")
    assert "# InvoiceNo is left out: too many values" in text and str(folder / "Online Retail.csv") in text
    with pytest.raises(DatasetError, match="is there already; name another folder"):
        describe([folder / "Online Retail.csv"], tmp_path / "data")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "there is no table; expected files that end in"),
        ({"a.csv": "user_id,item_id\n1,2\n1,3\n"}, "no column of times, among user_id, item_id"),
        ({"a.csv": "when,what\n2024-01-01,5\n2024-01-02,6\n"}, "no columns of users and items, among when, what"),
        ({"a.csv": ""}, "is empty; expected a table"),
        ({"a.parquet": "no parquet"}, "no Parquet that can be read"),
        ({"a.json": "[1, 2]\n"}, "is a JSON array, expected JSON lines"),
        ({"a.csv": "user_id,item_id,timestamp\n"}, "a.csv has no row below its header"),
        ({"a.csv": "user_id,item_id,at,at\nu,i,2024-01-01,2\n"}, "the columns at are there more than once"),
        ({"a.csv": "user_id,item_id,date\nu,i,31/12/2024\n"}, "date holds '31/12/2024', expected a time such as"),
        ({"a.csv": "user_id\n" + "u" * 200_000}, "no column of times, among user_id"),
    ],
)
def test_what_is_no_dataset_is_said(files: dict[str, str], message: str, tmp_path: pathlib.Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=message):
        describe([tmp_path], tmp_path)
    assert not (tmp_path / "dataset.yaml").exists()


def test_encodings_and_delimiters(tmp_path: pathlib.Path) -> None:
    texts = {"utf-8": "名称;é\n甲;b\n", "gb18030": "名称\t价格\n商品甲\t乙等品\n", "cp1252": "nom|prix\nthé vert|é\n"}
    tables = {}
    for encoding, text in texts.items():
        (tmp_path / f"{encoding}.csv").write_text(text, encoding=encoding)
        tables[encoding] = look(tmp_path / f"{encoding}.csv", "x")
    assert {name: one.table.encoding for name, one in tables.items()} == {name: name for name in texts}
    assert [one.table.delimiter for one in tables.values()] == [";", "\t", "|"]
    assert list(tables["cp1252"].columns["nom"].cells) == ["thé vert"]


def test_a_mark_an_index_and_a_last_delimiter_hide_no_names(tmp_path: pathlib.Path) -> None:
    rows = [f"{n},u{n % 3},i{n % 4},{1_700_000_000 + n}" for n in range(20)]
    for head, end in ((",user_id,item_id,timestamp", ""), ("n,user_id,item_id,timestamp,", ",")):
        (tmp_path / "log.csv").write_text("\n".join([head, *(row + end for row in rows)]), "utf-8-sig")
        found = describe([tmp_path / "log.csv"], tmp_path / f"data{end}")
        assert found.columns["interactions"] == {our: our for our in ("user_id", "item_id", "timestamp")}
        assert "header" not in found.path.read_text()
    (tmp_path / "u.csv").write_text("u1,i1,2024-01-01\nu2,i2,2024-01-02\n")
    assert list(look(tmp_path / "u.csv", "x").columns) == ["column_1", "column_2", "column_3"]


def test_years_and_ages_are_no_times() -> None:
    assert Column("year", ["1999", "2005"]).seconds is None and Column("age", ["30", "40"]).seconds is None
    assert Column("day", ["20240131", "20240201"]).seconds is not None


def test_what_a_column_holds_is_told_by_some_of_its_values() -> None:
    """Of 25,000 every third, from all over them: understanding takes longer than reading."""
    column = Column("n", [str(number) for number in range(25_000)])
    assert column.numbers is not None and column.numbers.tolist() == list(range(0, 25_000, 3))
    assert column.is_key and len(column.counts) == 25_000
    mixed = Column("n", [str(number) for number in range(17_000)] + ["word"] * 8_000)
    assert mixed.numbers is None, "32% are no numbers, though the beginning has none"


def test_columns_that_capitals_alone_tell_apart_get_names_of_their_own(tmp_path: pathlib.Path) -> None:
    rows = "".join(f"u{n % 30},i{n % 40},{1_700_000_000 + n},{n % 7}.5,{n % 5}.25,{n % 3}.75\n" for n in range(200))
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp,Paid,paid,PAID\n" + rows)
    described = describe([tmp_path], tmp_path)
    dataset = load_dataset(tmp_path)
    assert set(dataset.interactions.features) == {"Paid", "column_5", "column_6"}
    assert dataset.interactions.columns == {"column_5": "paid", "column_6": "PAID"}
    assert described.features["interactions"] == {"Paid": "number", "paid": "number", "PAID": "number"}
