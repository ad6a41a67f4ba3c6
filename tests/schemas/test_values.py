"""Each kind of column by a table of what its cells mean, and what holds for all kinds: a cell is read alone."""

from __future__ import annotations

import json
import math
import typing
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.schemas import values
from homefeed.schemas.columns import Feature, Kind, Unit

LEAP_DAY = 1709164800  # 2024-02-29T00:00:00Z
NOT_A_TIME = "is not a time in Unix seconds or ISO 8601"
NOT_SECONDS = "is not in Unix seconds, as the column's times are (`unit` in dataset.yaml says otherwise)"

COLOUR = Feature(kind="category", domain=("red", "Red"))
TAGS = Feature(kind="categories")
COLOURS = Feature(kind="categories", domain=("red", "blue"))
AGE = Feature(kind="number", min=0, max=120)
FACE = Feature(kind="embedding", size=2)

MEANINGS: dict[str, list[tuple[Feature, str, Any]]] = {
    "id": [(Feature(kind="id"), text, text) for text in ("007", "1e3", "a b", "商品-1", "NULLx", "no", "0")],
    "category": [
        *((COLOUR, text, text) for text in ("red", "Red")),
        (Feature(kind="category"), "null", "null"),  # A word like any other, where words are values.
        (Feature(kind="category"), " ", " "),
    ],
    "categories": [
        (TAGS, "a|b|a", ["a", "b", "a"]),
        (TAGS, "|a||b|", ["a", "b"]),
        (TAGS, '["a|b", "c"]', ["a|b", "c"]),
        (TAGS, "['a', 'b']", ["a", "b"]),
        (TAGS, "[1, 2.5, true]", ["1", "2.5", "True"]),
        (TAGS, "[not a list]", ["[not a list]"]),
        (COLOURS, "blue|red", ["blue", "red"]),
    ],
    "number": [
        (AGE, "0", 0.0),
        (AGE, " 12.5 ", 12.5),
        (AGE, "1.2e2", 120.0),
        (Feature(kind="number"), "-3e38", -3e38),
    ],
    "timestamp": [
        (Feature(kind="timestamp"), "1709164800", LEAP_DAY),
        (Feature(kind="timestamp"), "1709164800.9", LEAP_DAY),
        (Feature(kind="timestamp"), "2024-02-29", LEAP_DAY),
        (Feature(kind="timestamp"), "2024-02-29T08:00:00+08:00", LEAP_DAY),
        (Feature(kind="timestamp"), "2024-02-29 08:00 Asia/Shanghai", LEAP_DAY),
        (Feature(kind="timestamp", unit="ms"), "1709164800999", LEAP_DAY),
        (Feature(kind="timestamp", unit="date"), "20240229", LEAP_DAY),
        (Feature(kind="timestamp"), "-1", -1),
    ],
    "embedding": [
        (FACE, text, [1.0, -2.5]) for text in ("1 -2.5", "[1, -2.5]", "1;-2.5", "1|-2.5", " 1.0,\n-25e-1 ")
    ],
    "text": [(Feature(kind="text"), text, text) for text in (" two  spaces ", "nan", "行,行")],
}

FAULTS: list[tuple[Feature, str, str]] = [
    (COLOUR, "RED", "is not one of red, Red"),
    (COLOURS, "red|green", "is not all of red, blue"),
    (TAGS, '[{"a": 1}, "b"]', values.OBJECTS),
    (TAGS, '[{"a": 1}]', values.OBJECTS),
    (AGE, "121", "is outside [0, 120]"),
    (AGE, "-0.5", "is outside [0, 120]"),
    (AGE, "inf", "is not a finite number"),
    (AGE, "1_000", "is not a finite number"),
    (AGE, "12 years", "is not a finite number"),
    (Feature(kind="timestamp"), "yesterday", NOT_A_TIME),
    (Feature(kind="timestamp"), "2023-02-29", NOT_A_TIME),
    (Feature(kind="timestamp"), "1709164800000", NOT_SECONDS),
    (
        Feature(kind="timestamp", unit="date"),
        "20230229",
        NOT_SECONDS.replace("Unix seconds", "digits of dates (20240131)"),
    ),
    (FACE, "1", "has 1 values, expected 2"),
    (FACE, "1 x", "holds something that is not a finite number"),
    (FACE, "1 1e39", "holds something that is not a finite number"),
]

NOTHING: dict[Kind, tuple[str, ...]] = {
    "id": ("", " ", "\t", "null", "NULL", "None", "nan", "N/A", "#n/a", "\\N"),
    "number": ("", " ", "NaN", "nil", "<NA>", "undefined", "\\N"),
    "timestamp": ("", " ", "NaT", "None", "null"),
    "category": ("", "\\N"),
    "categories": ("", "\\N", "|", "[]", '[""]'),
    "text": ("", "\\N"),
    "embedding": ("",),
}
FEATURES: dict[Kind, Feature] = {
    "id": Feature(kind="id"),
    "category": COLOUR,
    "categories": COLOURS,
    "number": AGE,
    "timestamp": Feature(kind="timestamp"),
    "embedding": FACE,
    "text": Feature(kind="text"),
}


def read(texts: list[str | None], feature: Feature, unit: Unit | None = None) -> list[Any]:
    """A value, None, or the reason behind a "!" for each cell."""
    column, wrong, why = values.understand(pa.array(texts, pa.string()), feature, unit)
    assert column.type == values.arrow_type(feature.kind) and len(column) == len(wrong) == len(texts)
    found = column.to_pylist()
    assert all(found[row] is None for row in range(len(texts)) if wrong[row]), "what is wrong has no value"
    return [f"! {why(row)}" if wrong[row] else found[row] for row in range(len(texts))]


@pytest.mark.parametrize(("feature", "text", "meaning"), [row for rows in MEANINGS.values() for row in rows])
def test_a_cell_means(feature: Feature, text: str, meaning: Any) -> None:
    (found,) = read([text], feature)
    assert found == pytest.approx(meaning) if feature.kind in ("number", "embedding") else found == meaning


@pytest.mark.parametrize(("feature", "text", "reason"), FAULTS)
def test_a_cell_that_cannot_be_read_says_why(feature: Feature, text: str, reason: str) -> None:
    assert read([text], feature) == [f"! {reason}"]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in NOTHING.items() for text in texts])
def test_nothing_is_missing_and_wrong_only_where_it_must_be_there(kind: Kind, text: str) -> None:
    feature = FEATURES[kind]
    assert read([text, None], feature) == [None, None]
    needed = feature.model_copy(update={"required": True})
    assert read([text, None], needed) == ["! is missing", "! is missing"]


def test_every_kind_is_in_every_table() -> None:
    kinds = set(typing.get_args(Kind))
    assert kinds == set(MEANINGS) == set(NOTHING) == set(FEATURES)
    assert {feature.kind for feature, _, _ in FAULTS} == kinds - {"id", "text"}, "of these nothing is refused"


CELLS = st.one_of(
    st.none(),
    st.sampled_from([text for rows in MEANINGS.values() for _, text, _ in rows]),
    st.sampled_from([text for _, text, _ in FAULTS] + [text for texts in NOTHING.values() for text in texts]),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=6),
    st.floats(allow_nan=True).map(repr),
    st.integers(-(10**19), 10**19).map(str),
)


@pytest.mark.parametrize("kind", list(FEATURES))
@given(cells=st.lists(CELLS, min_size=1, max_size=8), needed=st.booleans())
@settings(max_examples=25)
def test_a_cell_means_the_same_whatever_stands_beside_it(kind: Kind, cells: list[str | None], needed: bool) -> None:
    feature = FEATURES[kind].model_copy(update={"required": needed})
    together = read(cells, feature, "s")
    assert str(together) == str([read([cell], feature, "s")[0] for cell in cells])
    assert not needed or None not in together
    for value in together:
        if isinstance(value, float):
            assert math.isfinite(value) and 0 <= value <= 120
        elif isinstance(value, list):
            assert value and "" not in value


@given(
    st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=5), min_size=1, max_size=4)
)
@settings(max_examples=60)
def test_a_list_written_as_json_comes_back(parts: list[str]) -> None:
    assert values.split(json.dumps(parts)) == values.split(json.dumps(parts, ensure_ascii=False)) == parts


@pytest.mark.parametrize("kind", [kind for kind in FEATURES if kind not in ("categories", "embedding")])
def test_a_list_is_no_single_value(kind: Kind) -> None:
    lists = pa.array([["a"], None, []], pa.list_(pa.string()))
    column, wrong, why = values.understand(lists, FEATURES[kind])
    assert wrong.tolist() == [True, False, False] and why(0) == "is a list, expected one value"
    assert column.to_pylist() == [None] * 3
