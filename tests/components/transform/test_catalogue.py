from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from homefeed.components.artifacts import example_io
from homefeed.components.transform.catalogue import build_catalogue
from homefeed.components.transform.text import item_texts, learn_wordpiece
from homefeed.models.catalogue import Catalogue
from homefeed.schemas.dataset import Feature
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


def build(items: pa.RecordBatch, counted: list[bytes], wordpiece: list[str], **changes: Any) -> Catalogue:
    limits = {"num_tokens": 24, "max_categories": 8} | changes
    return build_catalogue(items, ITEM_FEATURES, counted, wordpiece, **limits)


@pytest.fixture(scope="module")
def built(items: pa.RecordBatch) -> tuple[Catalogue, list[str]]:
    wordpiece = learn_wordpiece(item_texts(items, ITEM_FEATURES), (), 8000, "")
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
