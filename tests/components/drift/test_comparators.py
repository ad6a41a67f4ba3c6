import pathlib
from collections import Counter

import pytest

from homefeed.components.drift.comparators import comparator_kind, read_comparators
from homefeed.components.drift.summary import Summary

ITEMS = """
feature { name: "brand" type: BYTES
  drift_comparator { infinity_norm { threshold: 0.25 } jensen_shannon_divergence { threshold: 0.5 } }
  skew_comparator { infinity_norm { threshold: 0.125 } } }
feature { name: "price" type: FLOAT }
"""


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "items.pbtxt").write_text(ITEMS)
    (tmp_path / "users").mkdir()
    (tmp_path / "users" / "schema.pbtxt").write_text(ITEMS.replace("brand", "country").replace("0.25", "0.75"))
    return tmp_path


def test_each_comparator_says_what_matters_of_which_distance(folder: pathlib.Path) -> None:
    files = [folder / "items.pbtxt", folder / "users" / "schema.pbtxt"]
    assert read_comparators(files, "drift_comparator") == {
        "items.brand:l_infinity": 0.25,
        "items.brand:jensen_shannon": 0.5,
        "users.country:l_infinity": 0.75,  # Of an artifact, whose folder is named after the table.
        "users.country:jensen_shannon": 0.5,
    }
    assert read_comparators(files[:1], "skew_comparator") == {"items.brand:l_infinity": 0.125}
    assert read_comparators([], "drift_comparator") == {}


def test_a_table_that_is_named_takes_precedence(folder: pathlib.Path) -> None:
    named = read_comparators([folder / "items.pbtxt"], "skew_comparator", table="interactions")
    assert named == {"interactions.brand:l_infinity": 0.125}


def test_skew_is_where_a_side_is_a_log_of_requests() -> None:
    data = Summary("data", {}, Counter(), {})
    log = Summary("log", {}, Counter(), {}, is_log=True)
    assert comparator_kind(data, data) == "drift_comparator"
    assert comparator_kind(data, log) == comparator_kind(log, data) == "skew_comparator"
