import pathlib

import numpy as np
import pytest

from homefeed.components.artifacts import example_io
from homefeed.components.transform.text import item_texts, learn_wordpiece
from homefeed.models.behaviour_text import SPECIAL_TOKENS
from homefeed.models.text import bert
from homefeed.schemas.columns import Feature
from tests.components.ragged import numbers, strings

ITEM_FEATURES = {
    "item_id": Feature(kind="id"),
    "title": Feature(kind="text"),
    "description": Feature(kind="text"),
    "categories": Feature(kind="categories"),
    "brand": Feature(kind="category"),
    "price": Feature(kind="number"),
    "image": Feature(kind="embedding", size=2),
    "available_from": Feature(kind="timestamp"),
}


def test_an_items_text_has_what_can_be_written_and_no_ids() -> None:
    items = example_io.record_batch(
        {
            "item_id": strings(["i1"], ["i2"]),
            "title": strings(["Heat"], ["茶 tea"]),
            "categories": strings(["Action", "Crime"], []),
            "price": numbers(np.float32, [2.5], []),
            "image": numbers(np.float32, [1, 2], [3, 4]),
            "available_from": numbers(np.int64, [7], [8]),
            "brand": strings(["Kumo"], []),
        }
    )
    # The rest by kind: categories before numbers. The table has no description.
    assert item_texts(items, ITEM_FEATURES) == ["Heat Action Crime brand Kumo price 2.5", "茶 tea"]


def test_no_rows_have_no_texts() -> None:
    nothing = example_io.record_batch({"item_id": strings()})
    assert item_texts(nothing, {"item_id": Feature(kind="id")}) == []


def test_a_vocabulary_holds_the_words_of_all_texts() -> None:
    vocabulary = learn_wordpiece(["green tea"] * 3 + ["茶"], 200, "")
    assert tuple(vocabulary[: len(SPECIAL_TOKENS)]) == tuple(SPECIAL_TOKENS)
    assert {"green", "tea", "茶"} <= set(vocabulary) and len(vocabulary) <= 200
    assert learn_wordpiece(["green tea"] * 3 + ["茶"], 200, "") == vocabulary


def test_a_presets_vocabulary_takes_the_place_of_one_of_our_own(tmp_path: pathlib.Path) -> None:
    words = [*SPECIAL_TOKENS, "from", "elsewhere"]
    bert.save_bert(bert.new_bert(len(words), layers=1, width=8, length=8, dropout=0), words, tmp_path / "preset")
    assert learn_wordpiece(["green tea"], 200, str(tmp_path / "preset")) == words
    with pytest.raises(bert.PresetError, match="nowhere"):
        learn_wordpiece(["green tea"], 200, str(tmp_path / "nowhere"))
