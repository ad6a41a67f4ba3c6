import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval.index.text_match import TextMatch

# Four rows, the first of them none; token 3 is in two items, 4 in one, 5 in all, 6 twice in one.
TOKENS = np.array([[0, 0, 0, 0], [3, 5, 0, 0], [5, 4, 3, 0], [6, 5, 6, 0]], np.int32)
WEIGHT = {token: np.log1p(4 / count) for token, count in ((3, 2), (4, 1), (5, 3), (6, 1))}


def _shares(*query: int, ignored: tuple[int, ...] = ()) -> np.ndarray:
    match = TextMatch(TOKENS, ignored)
    return match.shares(match.read(tf.constant([list(query)]))[0]).numpy()


def test_a_share_is_of_the_words_weight() -> None:
    total = WEIGHT[3] + WEIGHT[4] + WEIGHT[5]
    expected = [0, (WEIGHT[3] + WEIGHT[5]) / total, 1, WEIGHT[5] / total]
    np.testing.assert_allclose(_shares(5, 3, 4), expected, rtol=1e-5)


def test_rare_words_tell_more() -> None:
    assert _shares(4, 5)[2] == pytest.approx(1)
    assert _shares(6, 5)[1] == pytest.approx(WEIGHT[5] / (WEIGHT[5] + WEIGHT[6]), rel=1e-5)


def test_words_count_once_in_a_query_and_in_an_item() -> None:
    np.testing.assert_allclose(_shares(6, 6, 3, 0), _shares(3, 6), rtol=1e-6)
    assert _shares(6)[3] == pytest.approx(1)


def test_unknown_words_lower_the_share_and_find_nothing() -> None:
    # A word that no item has weighs what the rarest do: the most that a word here can tell.
    heaviest = max(np.log1p(4 / max(count, 1)) for count in np.bincount(TOKENS.ravel()))
    np.testing.assert_allclose(_shares(3, 999)[1], WEIGHT[3] / (WEIGHT[3] + heaviest), rtol=1e-5)
    assert not _shares(999, -4).any()


def test_words_that_an_item_has_are_told_from_others() -> None:
    match = TextMatch(TOKENS, ignored=(5,))
    queries = [[3, 0], [999, 0], [999, 4], [1, 0], [5, 0], [0, 0]]  # Token 1 is in the vocabulary, and in no item.
    assert match.finds(match.read(tf.constant(queries))).numpy().tolist() == [True, False, True, False, False, False]


def test_what_means_nothing_weighs_nothing() -> None:
    np.testing.assert_allclose(_shares(3, 1, ignored=(1, 2, 5_000)), _shares(3), rtol=1e-6)
    assert not _shares(0, 0).any() and not _shares(1, ignored=(1,)).any()
