import keras
import numpy as np

from homefeed.models.behaviour_text import SPECIAL_TOKENS
from homefeed.models.behaviour_text.user_sequence import UserSequence, text_tables
from homefeed.models.ranking.examples import prediction_points
from homefeed.models.ranking.text import bert
from homefeed.models.ranking.training import masked_lm
from homefeed.models.ranking.training.masked_lm import Masking
from tests.components import ranking_toys
from tests.toy_data import toy_catalogue, toy_sequences

VOCABULARY = [*SPECIAL_TOKENS, "star", "##s", "war", "##ring", *"abcdefgh"]


def _mask(rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    token_ids = np.tile(np.array([2, 5, 6, 8, 3, 7, 9, 3, 0, 0], np.int32), (4000, 1))
    inputs, labels, weights = Masking(VOCABULARY, rate)(token_ids, np.random.default_rng(0))
    assert (inputs["padding_mask"] == (token_ids > 0)).all()
    return token_ids, inputs, labels, weights  # type: ignore[return-value]


def test_words_are_masked_whole() -> None:
    _, inputs, _, weights = _mask(0.15)
    chosen = np.zeros((4000, 10), bool)
    rows, places = np.nonzero(weights)
    chosen[rows, inputs["mask_positions"][rows, places]] = True
    # The word star ##s ##ring stands at 1 … 3; two masks fit in a row of ten, so it may be cut short.
    assert (chosen[:, 1] >= chosen[:, 2]).all() and (chosen[:, 2] == chosen[:, 1]).mean() > 0.99
    assert not chosen[:, [0, 4, 7, 8, 9]].any()
    assert abs(chosen[:, 5].mean() - 0.15) < 0.03


def test_labels_are_what_stood_there_and_most_is_replaced_by_mask() -> None:
    token_ids, inputs, labels, weights = _mask(0.5)
    np.testing.assert_array_equal(labels, np.take_along_axis(token_ids, inputs["mask_positions"], 1))
    now = np.take_along_axis(inputs["token_ids"], inputs["mask_positions"], 1)[weights > 0]
    assert abs((now == 4).mean() - 0.8) < 0.03
    assert abs((now == labels[weights > 0]).mean() - 0.1) < 0.03


def test_filler_is_not_replaced_and_has_no_weight() -> None:
    token_ids, inputs, labels, weights = _mask(0.15)
    assert labels.shape == weights.shape == inputs["mask_positions"].shape == (4000, int(10 * 0.15 * 1.5))
    changed = inputs["token_ids"] != token_ids
    chosen = np.zeros_like(changed)
    rows, places = np.nonzero(weights)
    chosen[rows, inputs["mask_positions"][rows, places]] = True
    assert not (changed & ~chosen).any() and not inputs["segment_ids"].any()
    assert (np.sort(np.where(weights > 0, inputs["mask_positions"], 99), axis=1)[:, 0] >= 1).all()


def test_a_tenth_becomes_any_token_but_a_special_one() -> None:
    token_ids, inputs, _, weights = _mask(0.5)
    now = np.take_along_axis(inputs["token_ids"], inputs["mask_positions"], 1)[weights > 0]
    before = np.take_along_axis(token_ids, inputs["mask_positions"], 1)[weights > 0]
    random = now[(now != 4) & (now != before)]
    # One in ten, but for what happens to stay the same.
    assert abs(len(random) / len(now) - 0.1 * (1 - 1 / (len(VOCABULARY) - 5))) < 0.02
    assert set(random) == set(range(5, len(VOCABULARY)))


def test_an_empty_row_has_nothing_to_guess() -> None:
    inputs, _, weights = Masking(VOCABULARY, 0.5)(np.zeros((3, 8), np.int32), np.random.default_rng(0))
    assert not weights.any() and not inputs["token_ids"].any() and not inputs["padding_mask"].any()


def test_behaviour_texts_are_those_of_the_prediction_points() -> None:
    catalogue, train = toy_catalogue(), toy_sequences()
    text = UserSequence(text_tables(ranking_toys.VOCABULARY, catalogue, train), 16)
    found = masked_lm.behaviour_tokens(train, 2, text, seed=0)
    points = prediction_points.random_points(train, 2, np.random.default_rng(0))
    assert found.shape == (len(points), 16)
    expected = text(prediction_points.features(train, points[:1], 8)).numpy()[0]
    np.testing.assert_array_equal(found[0], expected)
    assert masked_lm.text_of(train, points[:0], text).shape == (0, 16)


def test_pretraining_learns_what_goes_together() -> None:
    """Word 8 always follows word 7: what is hidden can be told from its neighbour."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    first = rng.integers(9, 13, (512, 1))
    texts = np.concatenate([np.full((512, 1), 2), first, first + 4, np.full((512, 1), 3)], axis=1).astype(np.int32)
    words = [*SPECIAL_TOKENS, *"abcdefghijkl"]
    backbone = bert.new_bert(len(words), layers=1, width=32, length=8, dropout=0.0)
    options = {"epochs": 12, "batch_size": 32, "learning_rate": 5e-3, "seed": 0}
    curves = masked_lm.pretrain(backbone, Masking(words, 0.4), texts[:448], texts[448:], **options)
    assert len(curves["masked_loss"]) == len(curves["masked_accuracy"]) == 13
    # One of four would be a guess; where both words are hidden no more is possible.
    assert curves["masked_accuracy"][0] < 0.3 and curves["masked_accuracy"][-1] > 0.55
    assert curves["masked_loss"][-1] < curves["masked_loss"][0] and backbone.pooled_dense.trainable
