import numpy as np

from homefeed.models.behaviour_text import SPECIAL_TOKENS
from homefeed.models.ranking.training.masked_lm import Masking

VOCABULARY = [*SPECIAL_TOKENS, "star", "##s", "war", "##ring", *"abcdefgh"]


def _mask(rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    token_ids = np.tile(np.array([2, 5, 6, 8, 3, 7, 9, 3, 0, 0], np.int32), (4000, 1))
    inputs, labels, weights = Masking(VOCABULARY, rate)(token_ids, np.random.default_rng(0))
    assert (inputs["padding_mask"] == (token_ids > 0)).all()
    return token_ids, inputs, labels, weights


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
