import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.schemas.tables import delimited
from homefeed.schemas.tables import rows as rows_module
from tests.schemas.tables.reading import FEATURES, HEADER, read, row


def test_ids_are_never_interpreted() -> None:
    ids = ["007", " spaced out ", "a,b", "🙂", "商品-1", 'say "hi"', "two\nlines", "1e5", "NaN", "0x10"]
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
    assert rows == [row("u", "i", 1, 2.0), row("u", "'i", 1, 2.0), row("v", "j", 3, 4.0)]
    assert lines == [2, 7, 9]
    assert bad == [
        (3, None, "expected 4 values, found 3", "u,i,1"),
        (5, None, "not valid UTF-8", "u,\\xff\\xe9,1,2"),
        (6, None, "expected 4 values, found 5", "u,i,1,2,3"),
        (8, None, "not valid CSV: unexpected end of data", '"u,i,1,2'),
    ]


def test_byte_order_mark_and_carriage_returns() -> None:
    rows, _, lines = read(b"\xef\xbb\xbf" + HEADER.replace("\n", "\r\n").encode() + b"u,i,1,2\r\nv,j,3,4\r\n")
    assert rows == [row("u", "i", 1, 2.0), row("v", "j", 3, 4.0)]
    assert lines == [2, 3]


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=6)
MANGLED = st.sampled_from(["a", "a,b,c,d,e", '"never closed,1,2,3', 'x"y"z', "a,b,soon,1", ",b,1,2", "a,b,1,\udcff"])


@st.composite
def mangled_tables(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, str]], int]:
    """A CSV file, its good rows, and how many bad ones it has."""
    text, good, num_bad = io.StringIO(newline=""), [], 0
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FEATURES)
    for _ in range(draw(st.integers(0, 12))):
        if draw(st.booleans()):
            # A quoted value that begins with one of these would close a quote left open above it.
            user, item = draw(CELL).lstrip(",\n") or "u", draw(CELL).lstrip(",\n") or "i"
            writer.writerow((user, item, 5, 1))
            good.append((user, item))
        else:
            text.write(draw(MANGLED) + "\n")
            num_bad += 1
    return text.getvalue().encode("utf-8", "surrogateescape"), good, num_bad


@settings(max_examples=200, deadline=None)
@given(mangled_tables(), st.sampled_from([7, 64, 1 << 20]))
def test_no_row_is_lost(table: tuple[bytes, list[tuple[str, str]], int], block_bytes: int) -> None:
    content, good, num_bad = table
    with pytest.MonkeyPatch.context() as patch:
        if block_bytes > len(HEADER):  # The header is expected within the first block.
            patch.setattr(rows_module, "BLOCK_BYTES", block_bytes)
        rows, bad, _ = read(content)
    assert [(found["user_id"], found["item_id"]) for found in rows] == good
    assert len(bad) == num_bad


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
    monkeypatch.setattr(delimited, "_parse_lines", None)
    content = HEADER + '"a, or\nb","say ""é""",1,2\r\n"","",1\n"一\n\n二",b,3,\n'
    rows, bad, lines = read(content)
    assert [(row["user_id"], row["item_id"]) for row in rows] == [("a, or\nb", 'say "é"'), ("一\n\n二", "b")]
    assert bad == [(4, None, "expected 4 values, found 3", '"","",1')]
    assert lines == [2, 5]


def test_a_quote_that_is_never_closed_holds_up_no_more_than_a_row_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 100)
    monkeypatch.setattr(delimited, "MAX_ROW_BYTES", 300)
    longest = 0
    parse = delimited._parse_lines

    def watched(block: bytes, *arguments: object) -> object:
        nonlocal longest
        longest = max(longest, len(block))
        return parse(block, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(delimited, "_parse_lines", watched)
    rows, bad, _ = read(HEADER + '"open,b,1,2\n' + "a,b,1,2\n" * 1000)
    assert (len(rows), [line for line, *_ in bad]) == (1000, [2])
    assert 300 < longest <= 500
