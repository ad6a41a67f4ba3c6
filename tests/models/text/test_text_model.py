import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.text import bert as berts
from homefeed.models.text import reading
from homefeed.models.text.heads import TextHeads
from homefeed.models.text.text_model import TextModel, ends_of
from tests.models.retrieval import toy
from tests.models.text.worlds import VOCABULARY


def _beside() -> TextModel:
    """Two BERTs, the first of which does not read the word 10."""
    berts.keras_seed(0)
    both = [berts.new_bert(len(VOCABULARY), layers=1, width=width, length=16, dropout=0.0) for width in (8, 4)]
    known = np.arange(len(VOCABULARY)) != 10
    scale = reading.Scale(np.linspace(-1, 1, 12, dtype=np.float32), np.linspace(0.5, 2, 12, dtype=np.float32))
    heads = TextHeads(12, 2)
    return TextModel(
        tuple(both),
        ends_of(both, VOCABULARY, [known, None]),
        scale,
        heads,
        np.zeros((1, 12), np.float32),
        np.zeros((1, 1), np.int32),
    )


def test_what_a_bert_does_not_read_says_nothing_to_it_alone() -> None:
    model = _beside()
    found = model.read(tf.constant([[10, 0], [5, 10], [0, 0]], tf.int32)).numpy()
    assert not found[0, :8].any() and found[0, 8:].all(), "the other one reads it"
    assert not found[2].any()
    first, second = (reading.Reader(bert) for bert in model.berts)
    read = np.concatenate(
        [first(np.array([[2, 5, 3]], np.int32)), second(np.array([[2, 5, 10, 3]], np.int32))], axis=1
    )
    np.testing.assert_allclose(found[1], model.scale(read)[0], rtol=1e-4, atol=1e-5)


def test_ids_outside_the_vocabulary_are_unknown_words() -> None:
    model = _beside()
    assert model.with_ids_in_range(tf.constant([[-1, 0, 10, 11, 999]])).numpy().tolist() == [[1, 0, 10, 1, 1]]


def test_a_catalogue_is_described_and_only_new_texts_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _beside()
    rng = np.random.default_rng(0)
    model.heads.set_weights([rng.normal(size=weight.shape) for weight in model.heads.get_weights()])
    texts = np.array([[0, 0, 0], [5, 6, 0], [7, 10, 8], [5, 0, 0]], np.int32)
    model = dataclasses.replace(model, items=model.read(tf.constant(texts)).numpy(), item_texts=texts)
    offered = model.heads.offered(model.items).numpy()
    catalogue = dataclasses.replace(toy.catalogue(), token_ids=np.pad(texts[[0, 2, 1, 2]], [(0, 0), (0, 2)]))
    read: list[int] = []
    monkeypatch.setattr(TextModel, "read_all", lambda self, new: read.append(len(new)) or _read(self, new))
    np.testing.assert_array_equal(model.describe(catalogue).text_vectors, offered[[0, 2, 1, 2]])
    later = dataclasses.replace(catalogue, token_ids=np.array([[0, 0], [6, 5], [5, 6], [9, 0]], np.int32))
    found = model.describe(later).text_vectors
    np.testing.assert_allclose(found, model.offer(tf.constant(later.token_ids)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[[0, 2]], offered[[0, 1]])
    assert read == [0, 2]


_read = TextModel.read_all


def test_unknown_words_alone_ask_for_nothing() -> None:
    """Whoever asks beside them, and however the words are unknown: to the vocabulary, or to what is read."""
    model = _beside()
    model.heads.set_weights([np.ones_like(weight) for weight in model.heads.get_weights()])
    one = dataclasses.replace(model, ends=ends_of(model.berts, VOCABULARY, [np.arange(len(VOCABULARY)) != 10] * 2))
    found = one.asked(tf.constant([[1, 1], [10, 1], [0, 0], [5, 1]], tf.int32)).numpy()
    assert not found[:3].any() and found[3].all()
