import io
import json
import re

import pytest

from homefeed.schemas.columns import Feature
from homefeed.schemas.dataset import DatasetError
from homefeed.schemas.tables import File, json_lines
from homefeed.schemas.tables import rows as rows_module
from homefeed.schemas.tables.json_lines import OBJECTS
from homefeed.schemas.tables.rows import NOT_UTF_8
from tests.schemas.tables.reading import lost, read, row


def test_bad_lines_of_json() -> None:
    good = {"user_id": 1, "item_id": "é", "timestamp": 2.5, "value": None, "more": {}}
    bad_lines = ["[]", '{"user_id": ["a"], "item_id": "b", "timestamp": 1}', "{", '{"item_id": "b", "timestamp": 1}']
    bad_lines += ['{"user_id": "\\ud800", "item_id": "b", "timestamp": 1}', '{"user_id": {}}']
    bad_lines += ["[" * 100_000, '{"user_id": ' + "1" * 5000 + "}", '{"user_id": "u"} {"user_id": "v"}']
    rows, bad, _ = read("\n".join([json.dumps(good), *bad_lines, "", json.dumps(good)]), "jsonl")
    assert rows == [row("1", "é", 2, None)] * 2
    assert [(line, column, reason.partition(":")[0], raw) for line, column, reason, raw in bad] == [
        (2, None, "expected a JSON object, found list", "[]"),
        (3, "user_id", "is a list, expected one value", bad_lines[1]),
        (4, None, "not valid JSON", "{"),
        (5, "user_id", "is missing", bad_lines[3]),
        (6, "user_id", NOT_UTF_8, bad_lines[4]),
        (7, "user_id", OBJECTS.partition(":")[0], bad_lines[5]),
        (8, None, "not valid JSON", bad_lines[6]),
        (9, None, "not valid JSON", bad_lines[7]),
        (10, None, "not valid JSON", bad_lines[8]),
    ]


def test_one_bad_value_does_not_cost_the_row() -> None:
    event = {"user_id": "u", "item_id": "i", "timestamp": 1}
    content = "\n".join(json.dumps(event | {"value": value}) for value in (1, [2], {"a": 3}, "x", float("inf"), True))
    rows, bad, _ = read(content, "jsonl")
    assert [found["value"] for found in rows] == [1.0, None, None, None, None, None] and not bad
    assert [(line, value) for line, _, value, _ in lost(content, "jsonl")] == [
        (2, "[2]"),
        (3, '{"a": 3}'),
        (4, "x"),
        (5, "inf"),
        (6, "true"),
    ]


@pytest.mark.parametrize("word", ["NaN", "null", '"nan"', '"None"', '""'])
def test_nothing_is_no_user(word: str) -> None:
    lines = [
        f'{{"user_id": {word}, "item_id": "i", "timestamp": 1}}',
        '{"user_id": "u", "item_id": "i", "timestamp": 2}',
    ]
    rows, bad, _ = read("\n".join(lines), "jsonl")
    assert [found["user_id"] for found in rows] == ["u"]
    assert [(line, column, reason) for line, column, reason, _ in bad] == [(1, "user_id", "is missing")]


def test_values_inside_of_objects() -> None:
    genres = [{"id": 1, "name": "Drama"}, {"id": 2, "name": "War"}]
    line = json.dumps({"user": {"id": 7}, "item_id": "a", "t.s": 5, "genres": genres})
    features = {
        "user_id": Feature(kind="id", required=True),
        "timestamp": Feature(kind="timestamp"),
        "genres": Feature(kind="categories"),
        "all": Feature(kind="categories"),
    }
    columns = {"user_id": "user.id", "timestamp": "t.s", "genres": "genres.name", "all": "genres"}
    rows, _, _ = read(line, "jsonl", features, columns=columns)
    assert rows == [{"user_id": "7", "timestamp": 5, "genres": ["Drama", "War"], "all": None}]
    assert [(column, reason) for _, column, _, reason in lost(line, "jsonl", features, columns=columns)] == [
        ("genres", OBJECTS)
    ]


def names(content: str, *candidates: str) -> list[str]:
    return json_lines.column_names(io.BytesIO(content.encode()), File("x.json", "jsonl"), candidates)


def test_every_row_decides_which_columns_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "HEAD_ROWS", 2)
    rows: list[dict[str, object]] = [{"a": 1}] * 50 + [{"a": '"late"'}, {"late": 2, "名": {"of": None}}]
    for block_bytes in (100, 1 << 20):
        monkeypatch.setattr(rows_module, "BLOCK_BYTES", block_bytes)
        for ascii_only in (True, False):
            content = "\n".join(json.dumps(found, ensure_ascii=ascii_only) for found in rows)
            assert names(content, "a", "late", "名.of", "later", "名.no") == ["a", "late", "名.of"]
    assert names("", "a") == []


@pytest.mark.parametrize("content", ['[{"a": 1}, {"a": 2}]', '\n [\n{"a": 1},\n{"a": 2}\n]', '{\n"a": 1\n}'])
def test_one_document_is_not_lines(content: str) -> None:
    with pytest.raises(DatasetError, match=r"x.json is (a JSON array|one JSON object), expected JSON lines.*`jq -c"):
        names(content, "a")


def test_what_mends_a_document_leaves_it_as_it_is() -> None:
    said = re.compile(r"`jq -c '.*' (\S+) > (\S+)`")
    for path, mended in (("a/x.jsonl", "a/x.lines.jsonl"), ("a.b/x.json", "a.b/x.jsonl")):
        with pytest.raises(DatasetError) as told:
            json_lines.column_names(io.BytesIO(b"[1]"), File(path, "jsonl"), ["a"])
        assert said.findall(str(told.value)) == [(path, mended)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("user_id,item_id\nu,i\n", "not valid JSON: Expecting value"),
        ('{"a": 1},\n{"a": 2},\n', "not valid JSON: Extra data"),
        ('\n{"a": 1}{"a": 2}\n', "not valid JSON: Extra data"),
        ("{'a': 1}\n", "not valid JSON: Expecting property name"),
        ('"a"\n"b"\n', "expected a JSON object, found str"),
    ],
)
def test_what_is_not_json_lines_at_all(content: str, why: str) -> None:
    with pytest.raises(DatasetError, match=f"x.json: expected JSON lines, .* The first: {why}"):
        names(content, "a")
