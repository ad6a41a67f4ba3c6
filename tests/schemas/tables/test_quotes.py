"""Quotes in delimited text: which of them are more than characters. Each file is counted by its lines."""

import csv
import io
import random

import pytest

from homefeed.schemas.columns import STANDARD_COLUMNS, Feature
from homefeed.schemas.tables import delimited
from tests.schemas.tables.reading import HEADER, read

QUERIES = {name: STANDARD_COLUMNS["interactions"][name] for name in ("user_id", "item_id", "timestamp", "query")}
ITEMS = {name: STANDARD_COLUMNS["items"][name] for name in ("item_id", "title", "description")}
PRICED = ITEMS | {"price": Feature(kind="number")}


def log(strays: dict[int, str], num_rows: int = 120) -> str:
    """A log whose queries are `lamp`, but for some."""
    lines = [f"u{row % 7},i{row % 20},{1_700_000_000 + row},{strays.get(row, 'lamp')}" for row in range(num_rows)]
    return "user_id,item_id,timestamp,query\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "strays",
    [
        {30: '"exact phrase', 90: 'monitor 27"'},  # As if one value held the 60 rows between them.
        {30: '"exact phrase', 31: 'monitor 27"'},
        {0: '"', 119: '"'},
        {5: '"never closed'},
        {5: '"a', 6: '"b', 7: '"c"', 8: '""', 9: 'say ""hi""', 10: '"x" y', 11: "\"'"},
        {5: '"twice" "', 6: '"again'},
    ],
)
def test_a_stray_quote_swallows_no_row(strays: dict[int, str]) -> None:
    rows, bad, lines = read(log(strays), features=QUERIES)
    assert lines == list(range(2, 122)) and not bad
    expected = {
        row: value[1:-1].replace('""', '"') if value in ('"c"', '""') else value for row, value in strays.items()
    }
    assert [row["query"] or "" for row in rows] == [expected.get(row, "lamp") for row in range(120)]


def test_broken_rows_between_stray_quotes_are_counted() -> None:
    text = log({30: '"exact phrase', 90: 'monitor 27"'}).splitlines(keepends=True)
    text[40], text[50], text[51] = "u1\n", "\n", "u1,i1,soon,x\n"
    rows, bad, lines = read("".join(text), features=QUERIES)
    assert len(rows) == 117 and [(line, reason) for line, _, reason, _ in bad] == [
        (41, "expected 4 values, found 1"),
        (52, "is not a time in Unix seconds or ISO 8601"),
    ]
    # Where many are broken, nobody can tell: no row is lost without being counted.
    text[35:65] = ["u1\n"] * 30
    rows, bad, lines = read("".join(text), features=QUERIES)
    assert sorted([*lines, *(line for line, *_ in bad)]) == list(range(2, 122))
    assert {reason for line, _, reason, _ in bad if line == 32} == {delimited.UNCLEAR}


def test_stray_quotes_in_a_catalogue() -> None:
    titles = [f"Title {row}" for row in range(20)]
    titles[3], titles[9] = '"Abbey Road', 'Turntable 12"'
    lines = "".join(f"i{row:02d},{title},desc {row},{row}.5\n" for row, title in enumerate(titles))
    rows, bad, _ = read("item_id,title,description,price\n" + lines, features=PRICED)
    assert [row["title"] for row in rows] == titles and not bad
    narrow = "".join(f"i{row:02d},{title}\n" for row, title in enumerate(titles))
    rows, bad, _ = read("item_id,title\n" + narrow, features={name: ITEMS[name] for name in ("item_id", "title")})
    assert [row["title"] for row in rows] == titles and not bad


WORDS = ["green", "tea,", "cup", "a", "leaf", "of", '"best"', "27", "x;", "the", "and", "very", "old"]


@pytest.mark.parametrize("features", [ITEMS, PRICED, {name: ITEMS[name] for name in ("item_id", "title")}])
def test_descriptions_of_several_lines_stay_whole(features: dict[str, Feature]) -> None:
    rng = random.Random(0)

    def text() -> str:
        return "\n".join(" ".join(rng.choices(WORDS, k=rng.randint(1, 6))) for _ in range(rng.randint(1, 8)))

    cells = [[f"i{row}", *(text() for _ in range(len(features) - 1))] for row in range(2000)]
    for row in cells:
        row[3:] = ["2.5"] * len(row[3:])
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerows([list(features), *cells])
    rows, bad, _ = read(sink.getvalue(), features=features)
    assert {reason for _, _, reason, _ in bad} <= {delimited.UNCLEAR}
    # What is refused, because it may be rows as well, is less than a fiftieth; nothing is read as something else.
    refused = sum(line.startswith("i") for *_, line in bad)
    assert refused <= 40
    expected = {row[0]: row[1] for row in cells}
    assert all(expected[row["item_id"]] == row["title"] for row in rows) and len(rows) >= 1960


def test_tsv_has_no_quotes() -> None:
    titles = ['"Abbey Road', 'Turntable 12"', '"Heroes"', 'a "b" c', '""', "plain"]
    text = "item_id\ttitle\tdescription\n" + "".join(f"i{n}\t{title}\td\n" for n, title in enumerate(titles))
    rows, bad, _ = read(text, "tsv", ITEMS)
    assert [row["title"] for row in rows] == titles and not bad


def test_tsv_whose_header_is_in_quotes_has_them() -> None:
    text = '"item_id"\t"title"\t"description"\n"1"\t"say ""hi"""\t"two\nlines"\n'
    rows, bad, _ = read(text, "tsv", ITEMS)
    assert rows == [{"item_id": "1", "title": 'say "hi"', "description": "two\nlines"}] and not bad
    # As does CSV whose delimiter is a tab.
    assert read('item_id\ttitle\tdescription\n1\t"a\tb"\tc\n', "csv", ITEMS, delimiter="\t")[0] == [
        {"item_id": "1", "title": "a\tb", "description": "c"}
    ]


def test_quotes_that_hide_a_delimiter_or_only_seem_to() -> None:
    assert read(HEADER + '"a,b",i,1,2\n')[0][0]["user_id"] == "a,b"
    # In quotes there would be three values, without them four, as there should be.
    assert read(HEADER + '"a,b",1,2\n')[0] == [{"user_id": '"a', "item_id": 'b"', "timestamp": 1, "value": 2.0}]
    assert read("user_id\titem_id\ttimestamp\tvalue\nu\ti\t1\t2\n", "tsv")[2] == [2]


def test_rows_of_one_value() -> None:
    features = {"user_id": STANDARD_COLUMNS["users"]["user_id"]}
    rows, bad, _ = read('user_id\nu1\n"u2\nu3"\nu4\n', features=features)
    assert [row["user_id"] for row in rows] + [raw for *_, raw in bad] == ["u1", "u4", '"u2', 'u3"']
