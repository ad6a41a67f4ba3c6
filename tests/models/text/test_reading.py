import dataclasses

import numpy as np
import tensorflow as tf

from homefeed.models.text import bert as berts
from homefeed.models.text import reading
from homefeed.models.text.requests import Requests
from homefeed.models.text.texts import Tokens, bag_of_words, shared_words
from tests.models.text.worlds import NEW, VOCABULARY, make_world


def test_a_reading_is_the_mean_over_the_tokens_that_are_there() -> None:
    berts.keras_seed(0)
    bert = berts.new_bert(11, layers=1, width=8, length=16, dropout=0.0)
    tokens = np.array([[2, 5, 8, 3, 0, 0], [2, 6, 3, 0, 0, 0], [0, 0, 0, 0, 0, 0]], np.int32)
    found = reading.Reader(bert)(tokens)
    inputs = {"token_ids": tokens, "segment_ids": 0 * tokens, "padding_mask": (tokens > 0).astype(np.int32)}
    outputs = np.asarray(bert(inputs)["sequence_output"])
    np.testing.assert_allclose(found[0], outputs[0, :4].mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found[1], outputs[1, :3].mean(axis=0), atol=1e-5)
    assert not found[2].any()


def test_a_dead_dimension_is_not_blown_up() -> None:
    readings = np.array([[0.0, 1e-9, -2.0], [2.0, -1e-9, 2.0], [4.0, 1e-9, 6.0]], np.float32)
    scale = reading.Scale.of(readings)
    # Deviations sqrt(8/3), 1e-9 and sqrt(32/3): the median is the first, and a fifth of it the floor.
    np.testing.assert_allclose(scale.deviation, np.sqrt([8 / 3, 0.04 * 8 / 3, 32 / 3]), rtol=1e-4)
    np.testing.assert_allclose(scale(readings)[0], [-2 / np.sqrt(8 / 3), 0, -4 / np.sqrt(32 / 3)], atol=1e-5)


def test_items_without_a_text_and_no_query_read_as_nothing() -> None:
    tokens = Tokens(
        np.array([[0, 0, 0], [2, 5, 3], [2, 6, 3], [0, 0, 0]], np.int32), np.array([[0, 0, 0], [2, 7, 3]], np.int32)
    )
    texts = tokens.read(lambda ids: np.stack([ids.sum(axis=1), 1 - ids[:, 1]], axis=1).astype(np.float32))
    # Sums are 10 and 11: mean 10.5, deviation 0.5; the query's is 12.
    np.testing.assert_allclose(texts.items[:, 0], [0, -1, 1, 0], atol=1e-4)
    np.testing.assert_allclose(texts.queries[:, 0], [0, 3], atol=1e-4)


def test_a_bag_of_words_holds_what_known_items_share() -> None:
    items = np.array([[0, 0, 0, 0], [2, 5, 8, 3], [2, 5, 9, 3], [2, 8, 9, 3]], np.int32)
    texts = bag_of_words(Tokens(items, items[:1]), np.array([1, 2]), len(VOCABULARY))
    # Known items share only word 5: one dimension, and a length of 1.
    assert texts.items.tolist() == [[0], [1], [1], [0]]


def test_shuffled_texts_are_the_same_texts() -> None:
    items = np.arange(12, dtype=np.int32).reshape(6, 2)
    texts = Tokens(items, items[:1]).read(lambda ids: ids.astype(np.float32))
    mixed = texts.shuffled(0)
    assert sorted(mixed.items.tolist()) == sorted(texts.items.tolist())
    assert mixed.items.tolist() != texts.items.tolist()
    assert mixed.items[0].tolist() == texts.items[0].tolist(), "row 0 is nobody's"


def test_in_the_graph_the_scale_is_the_same() -> None:
    readings = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    mean, deviation = reading.in_graph_scale(tf.constant(readings))
    np.testing.assert_allclose(mean, readings.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(deviation, readings.std(axis=0), rtol=1e-4)


def test_words_that_say_something_of_few_items_are_not_read() -> None:
    catalogue, _ = make_world()
    tokens = catalogue.token_ids.copy()
    tokens[1:3, 3] = 10  # In two texts.
    tokens[:, :3] = np.where(tokens[:, :3] == 10, 9, tokens[:, :3])
    tokens[NEW[0], 3] = 10  # And in one of an item that nobody had.
    catalogue = dataclasses.replace(catalogue, token_ids=tokens)

    def unread(*picked: int) -> list[int]:
        """Tokens left out, where these items were picked after a search for the word."""
        rows = np.array(picked, np.int32)
        asked = Requests(np.zeros((len(rows), 1), np.int32), np.full((len(rows), 2), 10, np.int32), rows)
        return np.flatnonzero(~shared_words(catalogue, asked, len(VOCABULARY))).tolist()

    assert unread() == [10]
    assert unread(1, 2, 2) == [10], "they hold it themselves"
    assert unread(3) == [], "the third item"
    catalogue = dataclasses.replace(catalogue, token_ids=np.where(tokens == 10, 9, tokens))
    assert unread(3, 3, 3, 4) == [10] and unread(3, 4, 5) == [], "no item's text holds it"
