from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from homefeed.components.artifacts import example_io
from homefeed.components.transform.catalogue import build_catalogue, extended_vocabularies
from homefeed.components.transform.text import item_texts, learn_wordpiece
from homefeed.models.behaviour_text import SPECIAL_TOKENS
from homefeed.models.catalogue import Catalogue
from homefeed.schemas.columns import Feature
from tests.components.ragged import numbers, strings

ITEM_FEATURES = {
    "item_id": Feature(kind="id"),
    "title": Feature(kind="text"),
    "categories": Feature(kind="categories"),
    "price": Feature(kind="number"),
    "image_embedding": Feature(kind="embedding", size=2),
}


@pytest.fixture(scope="module")
def items() -> pa.RecordBatch:
    return example_io.record_batch(
        {
            "item_id": strings(["heat"], ["咖啡"], ["new"]),
            "title": strings(["Heat in the city"], ["咖啡 coffee"], ["Never seen"]),
            "categories": strings(["drama", "crime"], ["drink"], []),
            "price": numbers(np.float32, [2.5], [], [4.0]),
            "image_embedding": numbers(np.float32, [1, 2], [3], [5, 6]),
        }
    )


def build(items: pa.RecordBatch, counted: list[bytes], wordpiece: Sequence[str], **changes: Any) -> Catalogue:
    limits = {"num_tokens": 24, "max_categories": 8} | changes
    return build_catalogue(items, ITEM_FEATURES, Counter(counted), list(wordpiece), **limits)


@pytest.fixture(scope="module")
def built(items: pa.RecordBatch) -> tuple[Catalogue, list[str]]:
    wordpiece = learn_wordpiece(item_texts(items, ITEM_FEATURES), 8000, "")
    interactions = [b"heat", b"heat", b"gone"]
    return build(items, interactions, wordpiece), wordpiece


def test_row_0_of_the_catalogue_is_nothing(built: tuple[Catalogue, list[str]]) -> None:
    catalogue, _ = built
    assert catalogue.item_ids.tolist() == [b"", b"heat", "咖啡".encode(), b"new"]
    assert not catalogue.token_ids[0].any() and not catalogue.categorical["categories"][0].any()
    assert np.isnan(catalogue.numeric["price"][0]).all()


def test_training_counts_come_from_the_given_interactions(built: tuple[Catalogue, list[str]]) -> None:
    assert built[0].train_counts.tolist() == [0, 2, 0, 0]


def test_categories_are_positions_behind_padding_and_oov(built: tuple[Catalogue, list[str]]) -> None:
    catalogue, _ = built
    assert catalogue.vocabularies["categories"] == ("crime", "drama", "drink")
    assert catalogue.categorical["categories"][:, :2].tolist() == [[0, 0], [3, 2], [4, 0], [0, 0]]


def test_missing_numbers_and_half_embeddings_are_unknown(built: tuple[Catalogue, list[str]]) -> None:
    numeric = built[0].numeric
    np.testing.assert_array_equal(numeric["price"][1:, 0], np.float32([2.5, np.nan, 4.0]))
    np.testing.assert_array_equal(numeric["image_embedding"][1:], np.float32([[1, 2], [np.nan, np.nan], [5, 6]]))


def test_chinese_and_english_texts_become_tokens_of_the_vocabulary(
    built: tuple[Catalogue, list[str]],
) -> None:
    catalogue, wordpiece = built
    tokens = [wordpiece[token] for token in catalogue.token_ids[2] if token]
    assert tokens[:2] == ["咖", "啡"]
    assert "[UNK]" not in tokens


def test_texts_and_categories_are_cut_at_their_limits(items: pa.RecordBatch) -> None:
    wordpiece = learn_wordpiece(item_texts(items, ITEM_FEATURES), 8000, "")
    short = build(items, [], wordpiece, num_tokens=2, max_categories=1)
    assert short.token_ids.shape == (4, 2)
    assert short.categorical["categories"].tolist() == [[0], [3], [4], [0]]
    assert short.titles.tolist() == [b"", b"Heat in the city", "咖啡 coffee".encode(), b"Never seen"]


def test_counts_may_be_given_and_rare_categories_left_out(items: pa.RecordBatch) -> None:
    found = build_catalogue(
        items, ITEM_FEATURES, {b"new": 7}, list(SPECIAL_TOKENS), num_tokens=1, max_categories=2, min_count=2
    )
    assert found.train_counts.tolist() == [0, 0, 0, 7] and found.train_counts.dtype == np.int64
    assert found.vocabularies["categories"] == () and found.categorical["categories"].max() == 1


def test_items_may_have_a_day_from_which_they_are_shown(items: pa.RecordBatch) -> None:
    assert build(items, [], SPECIAL_TOKENS).available_from.tolist() == []
    dated = example_io.record_batch(
        {"item_id": strings(["a"], ["b"]), "available_from": numbers(np.int64, [86_400], [])}
    )
    always = np.iinfo(np.int64).min
    assert build(dated, [], SPECIAL_TOKENS).available_from.tolist() == [always, 86_400, always]


def test_a_catalogue_of_nothing_has_row_0(items: pa.RecordBatch) -> None:
    empty = example_io.record_batch({"item_id": strings(), "title": strings()})
    found = build(empty, [b"gone"], SPECIAL_TOKENS)
    assert found.num_rows == 1 and found.item_ids.tolist() == [b""] and found.train_counts.tolist() == [0]


def test_new_categories_follow_those_that_are_known(items: pa.RecordBatch) -> None:
    known = {"categories": ("drink", "music"), "brand": ("Kumo",)}
    extended = extended_vocabularies(items, ITEM_FEATURES | {"brand": Feature(kind="category")}, known)
    assert extended == {"categories": ("drink", "music", "crime", "drama"), "brand": ("Kumo",)}
    assert extended_vocabularies(items, ITEM_FEATURES, {}) == {}
    again = build(items, [], SPECIAL_TOKENS, vocabularies=extended)
    assert again.vocabularies["categories"] == extended["categories"]
    assert again.categorical["categories"][:, :2].tolist() == [[0, 0], [5, 4], [2, 0], [0, 0]]
