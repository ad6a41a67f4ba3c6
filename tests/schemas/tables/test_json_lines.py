import json

from tests.schemas.tables.reading import read, row


def test_bad_lines_of_json() -> None:
    good = {"user_id": 1, "item_id": "é", "timestamp": 2.5, "value": None, "more": {}}
    bad_lines = ["[]", '{"user_id": ["a"], "item_id": "b", "timestamp": 1}', "{", '{"item_id": "b", "timestamp": 1}']
    bad_lines += ['{"user_id": "\\ud800", "item_id": "b", "timestamp": 1}', '{"user_id": {}}']
    rows, bad, _ = read("\n".join([json.dumps(good), *bad_lines, "", json.dumps(good)]), "jsonl")
    assert rows == [row("1", "é", 2, None)] * 2
    assert [(line, reason.partition(":")[0], raw) for line, _, reason, raw in bad] == [
        (2, "expected a JSON object, found list", "[]"),
        (3, "user_id is a list, expected one value", bad_lines[1]),
        (4, "not valid JSON", "{"),
        (5, "is missing", bad_lines[3]),
        (6, "user_id holds something else than valid text and numbers", bad_lines[4]),
        (7, "user_id holds something else than valid text and numbers", bad_lines[5]),
    ]
