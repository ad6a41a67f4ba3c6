import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval.index.text_match import WEIGHT as LIFT
from homefeed.models.retrieval.index.text_match import TextMatch, lift

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


# Deviation 1 of the asker's scores; the first row has half of a query's words, the last all of them.
SCORES = np.array([1, 1, -1, -1], np.float32)
HALF = np.array([0.5, 0, 0, 1], np.float32)


def _lifted(shares: np.ndarray, scores: np.ndarray, meaning: np.ndarray) -> np.ndarray:
    return scores + meaning + lift(*(tf.constant(part, tf.float32) for part in (shares, scores, meaning))).numpy()


def test_without_a_meaning_words_lift_by_their_share() -> None:
    np.testing.assert_allclose(_lifted(HALF, SCORES, 0 * SCORES), SCORES + LIFT * HALF, rtol=1e-5)


def test_some_of_the_words_do_not_outweigh_what_a_query_means() -> None:
    # Row 1 says the same in other words; a share in proportion would put row 0 above it.
    meaning = np.array([-2, 2, -2, -2], np.float32)
    both = SCORES + meaning
    assert both[0] + LIFT * both.std() * HALF[0] > both[1]
    assert np.argsort(-_lifted(HALF, SCORES, meaning)).tolist()[:2] == [3, 1]


@pytest.mark.parametrize("strength", [0.1, 3.0, 100.0])
@pytest.mark.parametrize("taste", [0.0, 1.0])
def test_every_word_lifts_above_whatever_a_query_means(strength: float, taste: float) -> None:
    meaning = strength * np.array([1, 1, 1, -1], np.float32)
    assert np.argmax(_lifted(HALF, taste * SCORES, meaning)) == 3


@pytest.mark.parametrize("share", [1 - 1e-7, 1 + 1e-7])
def test_rounding_of_a_share_changes_no_lift(share: float) -> None:
    found = _lifted(np.array([0, 0, 0, share]), 0 * SCORES, SCORES)
    assert found[3] == pytest.approx(SCORES[3] + LIFT * SCORES.std(), rel=1e-3)


def test_meaning_that_levels_tastes_leaves_the_share_as_it_is() -> None:
    np.testing.assert_allclose(
        _lifted(HALF, SCORES, -SCORES / 2), SCORES / 2 + LIFT * HALF / 2, rtol=1e-5, err_msg="no root of a share"
    )
