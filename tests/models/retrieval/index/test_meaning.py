import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval.index.meaning import Meaning
from homefeed.models.text import reading
from homefeed.models.text.text_model import TextModel
from tests.components.ranking_toys import text_model
from tests.models.retrieval import toy

CATALOGUE = toy.catalogue()


@pytest.fixture(scope="module")
def text() -> TextModel:
    return text_model(CATALOGUE)


def test_it_is_the_inner_product_of_both_readings_through_their_projections(text: TextModel) -> None:
    meaning = Meaning(text, text.describe(CATALOGUE).text_vectors)
    meant = meaning.read(tf.constant([[5, 7, 0], [0, 0, 0]], tf.int32))
    read = text.scale(reading.Reader(text.berts[0])(np.array([[2, 5, 7, 3]], np.int32)))[0]  # [CLS] query [SEP].
    kernels = {weight.name: np.array(weight) for weight in text.heads.weights}
    np.testing.assert_allclose(meant[0], read @ kernels["query_kernel"], rtol=1e-3, atol=1e-4)
    assert not np.asarray(meant[1]).any(), "nobody asked"
    expected = text.items @ kernels["candidates_kernel"] @ (read @ kernels["query_kernel"])
    np.testing.assert_allclose(meaning.affinity(meant[0]), expected, rtol=1e-3, atol=1e-3)
    assert not np.asarray(meaning.affinity(meant[1])).any()


def test_tokens_of_another_vocabulary_are_unknown_words(text: TextModel) -> None:
    meaning = Meaning(text, text.describe(CATALOGUE).text_vectors)
    strange, unknown = (meaning.read(tf.constant([row], tf.int32)) for row in ([5, 10_000, -3], [5, 1, 1]))
    np.testing.assert_allclose(strange, unknown, rtol=1e-4)


def test_an_item_without_a_text_is_neither_lifted_nor_pushed_down(text: TextModel) -> None:
    tokens = CATALOGUE.token_ids.copy()
    tokens[4] = 0
    meaning = Meaning(text, text.describe(dataclasses.replace(CATALOGUE, token_ids=tokens)).text_vectors)
    affinity = np.asarray(meaning.affinity(meaning.read(tf.constant([[5, 7]], tf.int32))[0]))
    assert affinity[4] == 0 and np.abs(affinity[[1, 2, 3, 5, 6, 7]]).min() > 1e-4
