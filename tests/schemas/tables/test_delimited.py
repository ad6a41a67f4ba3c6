import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.schemas.columns import STANDARD_COLUMNS
from homefeed.schemas.dataset import DatasetError
from homefeed.schemas.tables import delimited
from homefeed.schemas.tables import rows as rows_module
from homefeed.schemas.tables.rows import NOT_UTF_8
from tests.schemas.tables.reading import FEATURES, HEADER, lost, read, row

TITLED = {name: STANDARD_COLUMNS["items"][name] for name in ("item_id", "title", "description")}


def test_ids_are_never_interpreted() -> None:
    ids = ["007", " spaced out ", "a,b", "🙂", "商品-1", 'say "hi"', "two\nlines", "1e5", "Nancy", "0x10"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FEATURES)
    writer.writerows((name, name, 5, 1) for name in ids)
    rows, bad, lines = read(text.getvalue())
    assert rows == [row(name, name, 5, 1.0) for name in ids]
    assert not bad
    assert lines == [2, 3, 4, 5, 6, 7, 8, 11, 12, 13]  # The row on line 8 has an id of two lines, twice.


def test_bad_lines_of_csv() -> None:
    text = HEADER.encode() + b"u,i,1,2\nu,i,1\n\nu,\xff\xe9,1,2\nu,i,1,2,3\nu,'i,1,2\r\n\"u,i,1,2\nv,j,3,4"
    rows, bad, lines = read(text)
    assert rows == [row("u", "i", 1, 2.0), row("u", "'i", 1, 2.0), row('"u', "i", 1, 2.0), row("v", "j", 3, 4.0)]
    assert lines == [2, 7, 8, 9]
    assert bad == [
        (3, None, "expected 4 values, found 3", "u,i,1"),
        (5, "item_id", NOT_UTF_8, "u,\\xff\\xe9,1,2"),
        (6, None, "expected 4 values, found 5", "u,i,1,2,3"),
    ]


def test_a_title_that_is_not_utf8_does_not_cost_the_item() -> None:
    content = "item_id,title,description\n1,café,x\n2,tea,y\n".encode("latin-1")
    rows, bad, _ = read(content, features=TITLED)
    assert [item["title"] for item in rows] == [None, "tea"] and not bad
    assert lost(content, features=TITLED) == [(2, "title", "caf\\xe9", NOT_UTF_8)]


def test_byte_order_mark_and_carriage_returns() -> None:
    rows, _, lines = read(b"\xef\xbb\xbf" + HEADER.replace("\n", "\r\n").encode() + b"u,i,1,2\r\nv,j,3,4\r\n")
    assert rows == [row("u", "i", 1, 2.0), row("v", "j", 3, 4.0)]
    assert lines == [2, 3]


LINES = ["a,b,1,2", "a,b,1", "é,b,soon,2", "a,b,1,2,3", "a,b,2,", '"a, or\nb","",1,2', '"say ""é""\n\n",b,1,"2"']
LINES += ['"a"', 'a"b",c,1,2', '"a"b,c,1,2', '"open,b,1,2']


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(LINES),
        max_size=8,
    ),
    st.booleans(),
)
def test_the_quick_way_and_the_careful_way_agree(lines: list[str], ends: bool) -> None:
    content = HEADER + "\n".join(lines) + ("\n" if ends and lines else "")
    quick = read(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "_find_rows", lambda *arguments: None)
        assert read(content) == quick


def test_well_formed_quotes_take_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "_parse_text", None)
    content = HEADER + 'b,"a, or\n""é""",1,2\r\n"","",1,\n"一\n\n二, 三",b,3,\n'
    rows, bad, lines = read(content)
    assert [(row["user_id"], row["item_id"]) for row in rows] == [("b", 'a, or\n"é"'), ("一\n\n二, 三", "b")]
    assert bad == [(4, "user_id", "is missing", '"","",1,')]
    assert lines == [2, 5]


def test_a_quote_that_is_never_closed_holds_up_no_more_than_a_row_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 100)
    monkeypatch.setattr(delimited, "MAX_ROW_BYTES", 300)
    longest = 0
    parse = delimited._parse_text

    def watched(block: bytes, *arguments: object) -> object:
        nonlocal longest
        longest = max(longest, len(block))
        return parse(block, *arguments)

    monkeypatch.setattr(delimited, "_parse_text", watched)
    rows, bad, lines = read(HEADER + '"open,b,1,2\n' + "a,b,1,2\n" * 1000)
    assert rows[0]["user_id"] == '"open' and lines == list(range(2, 1003)) and not bad
    assert 300 < longest <= 500


def test_files_without_a_header() -> None:
    names = ("user_id", "item_id", "value", "timestamp")
    rows, bad, lines = read("196\t242\t3\t881250949\n186\t302\t3\n", "tsv", header=names)
    assert (rows, lines) == ([row("196", "242", 881250949, 3.0)], [1])
    assert [(line, reason) for line, _, reason, _ in bad] == [(2, "expected 4 values, found 3")]


def test_other_delimiters() -> None:
    rows, _, _ = read('user_id;item_id;timestamp;value\nu;"a;b";1;2\n', delimiter=";")
    assert rows == [row("u", "a;b", 1, 2.0)]
    assert read("user_id|item_id|timestamp|value\nu|i|1|2\n", delimiter="|")[0] == [row("u", "i", 1, 2.0)]


def test_lines_before_and_in_the_header() -> None:
    assert read("\n\r\n" + HEADER + "u,i,1,2\n")[2] == [4]
    assert read('"user_id",item_id ,timestamp,"value"\nu,i,1,2\n')[0] == [row("u", "i", 1, 2.0)]
    with pytest.raises(DatasetError, match="x: lines end in carriage returns alone"):
        read(HEADER.replace("\n", "\r") + "u,i,1,2\r")
    with pytest.raises(DatasetError, match=r"not a header in UTF-8: user_id,\\xff.* `encoding: cp1252`"):
        read(b"user_id,\xff\nu,1\n")


def test_a_byte_order_mark_inside_of_a_file_is_a_letter_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (len(HEADER) + 3, 1000):  # The mark begins a block, or it is inside of one.
        monkeypatch.setattr(rows_module, "BLOCK_BYTES", size)
        rows, bad, _ = read("\ufeff" + HEADER + "\ufeffu,i,1,2\nv,i,1,2\n" * 3)
        assert [found["user_id"] for found in rows] == ["\ufeffu", "v"] * 3 and not bad


def test_a_carriage_return_inside_of_a_line_is_said() -> None:
    rows, bad, _ = read(HEADER + "u,i,1,2\r\nu,i,1,2\rv,i,1,2\nw,i,1,2\n")
    assert [found["user_id"] for found in rows] == ["u", "w"]
    assert [reason for _, _, reason, _ in bad] == ["expected 4 values, found 7 around a carriage return"]
