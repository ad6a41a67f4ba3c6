import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.behaviour_text.user_sequence import UserSequence, text_tables
from homefeed.models.ranking.text import bert
from homefeed.models.ranking.text.text_reader import TextReader
from tests.components.ranking_toys import VOCABULARY
from tests.toy_data import toy_catalogue, toy_sequences

CATALOGUE = toy_catalogue()


@pytest.fixture(scope="module")
def reader() -> TextReader:
    text = UserSequence(text_tables(VOCABULARY, CATALOGUE, toy_sequences()), 16)
    return TextReader(bert.new_bert(len(VOCABULARY), layers=1, width=8, length=32, dropout=0.1), text)


def _reading(reader: TextReader, tokens: list[int], segments: list[int] | None = None) -> np.ndarray:
    inputs = {
        "token_ids": np.array([tokens]),
        "segment_ids": np.array([segments or [0] * len(tokens)]),
        "padding_mask": np.ones((1, len(tokens)), int),
    }
    return np.asarray(reader._bert(inputs)["sequence_output"])[0]


def test_an_item_is_the_mean_over_its_tokens_and_what_stands_around_them(reader: TextReader) -> None:
    found = reader.items(tf.constant([[7, 9, 0], [5, 0, 0]])).numpy()
    cls, sep = VOCABULARY.index("[CLS]"), VOCABULARY.index("[SEP]")
    for row, tokens in zip(found, ([7, 9], [5]), strict=True):
        expected = _reading(reader, [cls, *tokens, sep]).mean(axis=0)
        np.testing.assert_allclose(row, expected, rtol=1e-3, atol=1e-4)


def test_the_catalogue_in_batches_is_the_catalogue(reader: TextReader) -> None:
    together, apart = reader.catalogue(), reader.catalogue(batch_size=3)
    assert together.shape == (8, 8)
    np.testing.assert_allclose(apart, together, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(together, reader.items(tf.constant(CATALOGUE.token_ids)), rtol=1e-4, atol=1e-5)


def test_padding_is_not_read_and_segments_are(reader: TextReader) -> None:
    tokens = tf.constant([[2, 7, 3, 0, 0]])
    output, present = reader.read(tokens)
    assert present.numpy().tolist() == [[True, True, True, False, False]]
    np.testing.assert_allclose(output[0, :3], _reading(reader, [2, 7, 3]), rtol=1e-3, atol=1e-4)
    segments = tf.constant([[0, 1, 1, 0, 0]])
    paired, _ = reader.read(tokens, segments=segments)
    np.testing.assert_allclose(paired[0, :3], _reading(reader, [2, 7, 3], [0, 1, 1]), rtol=1e-3, atol=1e-4)
    assert np.abs(paired - output).max() > 1e-4


def test_training_drops_out(reader: TextReader) -> None:
    tokens = tf.constant([[2, 7, 3]])
    assert np.abs(reader.read(tokens, training=True)[0] - reader.read(tokens)[0]).max() > 1e-4
