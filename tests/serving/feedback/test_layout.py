"""What `dataset.yaml` must say before feedback is sealed, and where spans go."""

from __future__ import annotations

import pathlib

import pytest

from homefeed.schemas.dataset import DatasetError
from homefeed.serving.feedback.layout import read_layout
from tests.serving.feedback import shop

GOOD = "name: x\ninteractions: {path: 'log/{SPAN}.*'}\nexposures: {path: 'shown/{SPAN}/*.parquet'}\n"


def layout_of(folder: pathlib.Path, text: str) -> None:
    (folder / "dataset.yaml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "log/{SPAN}.*",
            "log.csv",
            r"log\.csv, without {SPAN}; move the file to log/1\.csv and write `path: log/",
        ),
        ("log/{SPAN}.*", "log/{SPAN}.csv", r"takes no Parquet; write `path: log/{SPAN}\.\*` and no `format`"),
        ("log/{SPAN}.*", "gs://b/{SPAN}.*", "expected a place on this machine"),
        ("'log/{SPAN}.*'", "'log/{SPAN}.*', format: csv", "takes no Parquet"),
        ("'log/{SPAN}.*'", "'log/{SPAN}.*', delimiter: ';'", "has a `delimiter` or `header`"),
        ("exposures: {path: 'shown/{SPAN}/*.parquet'}", "", "`exposures` is not declared; write `exposures: {path"),
        ("shown/{SPAN}/*.parquet", "shown.parquet", "without {SPAN}; write `path: shown/{SPAN}"),
        (
            "name: x",
            "name: x\nitems: {path: 'items/{SPAN}.csv'}",
            r"`items\.path` has a {SPAN}, and sealing",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_line(old: str, new: str, fault: str, tmp_path: pathlib.Path) -> None:
    layout_of(tmp_path, GOOD.replace(old, new))
    with pytest.raises(DatasetError, match=fault) as raised:
        read_layout(tmp_path)
    assert "\n" not in str(raised.value)


def test_the_next_span_comes_after_all_others(tmp_path: pathlib.Path) -> None:
    layout_of(tmp_path, GOOD)
    first = read_layout(tmp_path)
    assert (first.next_span(0), first.columns) == ("1", None)
    assert first.file("interactions", "1") == tmp_path / "log" / "1.parquet"
    assert first.file("exposures", "1") == tmp_path / "shown" / "1" / "live.parquet"
    (tmp_path / "log").mkdir()
    for span in ("9", "10"):
        (tmp_path / "log" / f"{span}.csv").write_text("user_id,item_id,timestamp,value\nu,a,1700000000,1\n")
    numbered = read_layout(tmp_path)
    assert (numbered.next_span(0), numbered.next_span(0, ["12"])) == ("11", "13")
    assert numbered.columns == {"user_id", "item_id", "timestamp", "value"}
    (tmp_path / "log" / "2027-01-02.csv").write_text("user_id,item_id,timestamp,value\nu,a,1700000000,1\n")
    dated = read_layout(tmp_path)
    assert dated.next_span(1_800_000_000) == "2027-01-15T080000"
    with pytest.raises(DatasetError, match="the newest span is '2027-01-02', which comes after 1970"):
        dated.next_span(0)


def test_exposures_that_say_themselves_what_was_taken_are_not_mixed_with_others(tmp_path: pathlib.Path) -> None:
    layout_of(tmp_path, GOOD.replace("shown/{SPAN}/*.parquet", "shown/{SPAN}.*"))
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "1.csv").write_text("impression_id,user_id,item_id,timestamp,clicked\np,u,a,1700000000,1\n")
    with pytest.raises(DatasetError, match="exposures have a column `clicked`"):
        read_layout(tmp_path)


def test_what_is_called_by_no_number_is_called_by_the_time(tmp_path: pathlib.Path) -> None:
    _, data = shop.make(tmp_path)
    (data / "interactions").mkdir()
    (data / "interactions" / "1².csv").write_text("user_id,item_id,timestamp,event_type\nu,i,1700000000,click\n")
    assert read_layout(data).next_span(shop.NOW) == "2027-01-15T080000"
