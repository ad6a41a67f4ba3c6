import dataclasses

import numpy as np
import pytest

from homefeed.components.evaluator.queries import make_queries
from homefeed.components.evaluator.robustness import (
    EVENT,
    RENAMED,
    TYPO,
    _moves,
    _own_move,
    measure_robustness,
    to_html,
    typo,
    without_first_word,
)
from homefeed.serving.recommender import Recommender
from tests.components.ranking_toys import VOCABULARY, text_model
from tests.toy_data import toy_catalogue, toy_sequences


def test_what_changes_is_measured_on_real_models(recommender: Recommender) -> None:
    sequences, catalogue = toy_sequences(4, num_history=2), toy_catalogue()
    queries = make_queries(sequences, 100)
    found = measure_robustness(recommender, text_model(catalogue), queries, sequences, catalogue, VOCABULARY, 3)
    assert found.keys() == {EVENT, RENAMED}  # Nobody searches.
    for figures in found.values():
        assert 0 < figures["requests"] <= len(queries)
        assert 0 <= figures["kept"] <= 1 and 0 <= figures["first"] <= 1 and figures["moved"] >= 0
    assert found[RENAMED]["moved"] > 0
    assert "before" in found[EVENT] and "before" not in found[RENAMED]
    tokens = np.zeros((len(sequences.timestamp), 2), np.int32)
    tokens[queries.ends] = [VOCABULARY.index("title"), VOCABULARY.index("age")]
    asked = dataclasses.replace(sequences, query_token_ids=tokens)
    found = measure_robustness(recommender, text_model(catalogue), queries, asked, catalogue, VOCABULARY, 3)
    assert found[TYPO]["requests"] == len(queries)


def test_lists_that_say_nothing_have_no_figures(recommender: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of lists with one item each, or of scores that are all equal, nobody can say how far they moved."""
    sequences, catalogue = toy_sequences(4, num_history=2), toy_catalogue()
    asked = recommender.candidates
    said = lambda requests: dataclasses.replace(found := asked(requests), scores=np.ones_like(found.scores))  # noqa: E731
    monkeypatch.setattr(recommender, "candidates", said)
    parts = make_queries(sequences, 100), sequences, catalogue, VOCABULARY, 3
    found = measure_robustness(recommender, text_model(catalogue), *parts)
    assert found.keys() == {RENAMED} and EVENT not in to_html(found)


def test_a_list_that_stays_and_one_that_turns_round() -> None:
    items, scores = np.array(["a", "b", "c", ""], object), np.array([3.0, 2.0, 1.0, -9.0])
    assert _moves(items, scores, items, scores + 5) == (1, 1, 0)  # A shift of all moves nobody.
    # Leads are 1, 0, -1 and become -1, 0, 1: √((4 + 0 + 4) / 3), by the deviation √(2 / 3).
    assert _moves(items, scores, items, np.array([1.0, 2.0, 3.0, -9.0])) == (1, 0, pytest.approx(2.0))
    kept, first, _ = _moves(items, scores, np.array(["a", "x"], object), np.array([1.0, 0.0]))
    assert (kept, first) == (pytest.approx(1 / 3), 1)
    # An item that is back, because its event is missing, displaces nobody.
    back = np.array(["x", "a", "b", "c"], object), np.array([9.0, 3.0, 2.0, 1.0])
    assert _moves(items, scores, *back, {"x"}) == (1, 1, 0) and _moves(items, scores, *back) == (1, 0, 0)


def test_a_renamed_item_alone_moves() -> None:
    scores = np.arange(12.0)  # The best has 11, the second 10, the eleventh 1.
    deviation = scores[2:].std()
    assert _own_move(scores, 10.5) == (1, 1, pytest.approx(0.5 / deviation))
    assert _own_move(scores, 1.5)[:2] == (1, 0) and _own_move(scores, 1.0)[:2] == (0, 0)


def test_typos_change_one_word() -> None:
    assert typo("industrial lamp") == "indutsrial lamp" and typo("") == ""
    assert typo("oak") == "" and typo("oak bed") == "oak"


def test_the_first_word_goes_with_its_pieces() -> None:
    vocabulary = ("", "[UNK]", "de", "##sk", "lamp")
    assert without_first_word(np.array([2, 3, 3, 4, 2, 0]), vocabulary).tolist() == [4, 2]
    assert without_first_word(np.array([2, 3, 0]), vocabulary).tolist() == []
