import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.fused import Fused


@pytest.fixture(scope="module")
def recommend(toy_models: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("fused")
    parts = (toy_models[name] / "Format-Serving" for name in ("retrieval", "ranking"))
    Fused(*parts, num_candidates=3).save(folder)
    model = tf.saved_model.load(str(folder))
    return lambda **inputs: {n: v.numpy() for n, v in model.signatures["recommend"](**inputs).items()}


def _retrieve(toy_models: dict[str, pathlib.Path], k: int) -> dict[str, Any]:
    model = tf.saved_model.load(str(toy_models["retrieval"] / "Format-Serving"))
    found = model.signatures["retrieve"](history=tf.constant([["i2"]]), k=tf.constant([k]))
    return {name: value.numpy() for name, value in found.items()}


def test_ranks_what_was_retrieved(recommend: Any, toy_models: dict[str, pathlib.Path]) -> None:
    # The toy ranking turns retrieval's order round: the best of three candidates comes last.
    expected = _retrieve(toy_models, 3)["item_ids"][:, ::-1]
    result = recommend(history=tf.constant([["i2"]]), k=tf.constant([2]))
    assert result["item_ids"].shape == result["scores"].shape == result["titles"].shape == (1, 2)
    np.testing.assert_array_equal(result["item_ids"], expected[:, :2])


def test_more_than_candidates_are_asked_for(recommend: Any, toy_models: dict[str, pathlib.Path]) -> None:
    result = recommend(history=tf.constant([["i2"]]), k=tf.constant([5]))
    np.testing.assert_array_equal(result["item_ids"], _retrieve(toy_models, 5)["item_ids"][:, ::-1])


def test_who_asks_for_more_changes_nothing_for_others(recommend: Any) -> None:
    # Retrieval's three best, turned round, whoever else has seven ranked.
    alone = recommend(history=tf.constant([["i2"]]), k=tf.constant([2]))
    both = recommend(history=tf.constant([["i2"], ["i2"]]), k=tf.constant([2, 7]))
    for name in ("item_ids", "titles", "scores"):
        np.testing.assert_array_equal(both[name][:1, :2], alone[name])
    assert both["item_ids"][0, 3:].tolist() == [b""] * 4


@pytest.mark.parametrize("k", [2**31 - 1, 0, -5])
def test_k_is_cut_to_what_there_is(recommend: Any, k: int) -> None:
    found = recommend(history=tf.constant([["i2"]]), k=tf.constant([k]))
    assert found["item_ids"].shape == (1, 7 if k > 0 else 0)


class _Retrieval(tf.Module):
    """Three items, one of which ranking does not know; says where they came from."""

    def retrieve(self, history: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = tf.shape(history)[0]
        most = tf.minimum(tf.reduce_max(k), 3)
        return {
            "item_ids": tf.tile(tf.constant([["new", "i1", "i2"]]), [batch, 1])[:, :most],
            "titles": tf.tile(tf.constant([["New", "One", "Two"]]), [batch, 1])[:, :most],
            "scores": tf.tile(tf.constant([[3.0, 2.0, 1.0]]), [batch, 1])[:, :most],
            "source": tf.fill([batch], "history"),
        }


class _Ranking(tf.Module):
    """Orders by the sum of the tokens of a candidate's text."""

    def rank(
        self,
        candidates: tf.Tensor,
        retrieval_scores: tf.Tensor,
        candidate_token_ids: tf.Tensor,
        user_Age: tf.Tensor,  # noqa: N803  Features are called what teams call them.
    ) -> dict[str, tf.Tensor]:
        words = tf.cast(tf.reduce_sum(candidate_token_ids, axis=2), tf.float32)
        scores = words + tf.zeros_like(retrieval_scores) + 0.1 * retrieval_scores
        objective = tf.where(user_Age > 35, "likes", "interactions")
        return {"scores": scores, "ages": tf.zeros_like(scores) + user_Age[:, None], "objective": objective}


def _save(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    text, number = (lambda name: tf.TensorSpec([None, None], tf.string, name)), tf.TensorSpec([None], tf.int32, "k")
    retrieval, ranking = _Retrieval(), _Ranking()
    retrieve = tf.function(retrieval.retrieve).get_concrete_function(history=text("history"), k=number)
    rank = tf.function(ranking.rank).get_concrete_function(
        candidates=text("candidates"),
        retrieval_scores=tf.TensorSpec([None, None], tf.float32, "retrieval_scores"),
        candidate_token_ids=tf.TensorSpec([None, None, None], tf.int32, "candidate_token_ids"),
        user_Age=tf.TensorSpec([None], tf.float32, "user_Age"),
    )
    tf.saved_model.save(retrieval, str(folder / "retrieval"), signatures={"retrieve": retrieve})
    tf.saved_model.save(ranking, str(folder / "ranking"), signatures={"rank": rank})
    return folder / "retrieval", folder / "ranking"


def test_new_items_are_ranked_by_their_texts_and_nothing_is_lost(tmp_path: pathlib.Path) -> None:
    texts = {b"new": np.array([5, 9, 0], np.int32), b"other": np.array([1, 0, 0], np.int32)}
    Fused(*_save(tmp_path), num_candidates=3, new_texts=texts).save(tmp_path / "fused")
    model = tf.saved_model.load(str(tmp_path / "fused"))
    assert set(model.signatures) == {"recommend", "serving_default"}
    inputs = model.signatures["recommend"].structured_input_signature[1]
    assert set(inputs) == {"history", "k", "user_Age"}, "what the candidates are is for the model to say"
    found = model.signatures["recommend"](
        history=tf.constant([["x"], [""]]), k=tf.constant([2, 1]), user_Age=tf.constant([30.0, 40.0])
    )
    assert found["item_ids"].numpy().tolist() == [[b"new", b"i1"]] * 2
    np.testing.assert_allclose(found["scores"], [[14.3, 0.2]] * 2, rtol=1e-5)
    assert found["titles"].numpy()[0].tolist() == [b"New", b"One"]
    assert found["ages"].numpy().tolist() == [[30.0, 30.0], [40.0, 40.0]]
    assert found["source"].numpy().tolist() == [b"history", b"history"]
    assert found["objective"].numpy().tolist() == [b"interactions", b"likes"]


def test_without_new_items_their_texts_are_nothing(tmp_path: pathlib.Path) -> None:
    fused = Fused(*_save(tmp_path), num_candidates=3)
    found = fused.recommend(history=tf.constant([["x"]]), k=tf.constant([3]), user_Age=tf.constant([1.0]))
    np.testing.assert_allclose(found["scores"], [[0.3, 0.2, 0.1]], rtol=1e-5)


def test_given_candidates_are_ranked_in_their_places(
    toy_models: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    parts = (toy_models[name] / "Format-Serving" for name in ("retrieval", "ranking"))
    Fused(*parts, num_candidates=3).save(tmp_path)
    rank = tf.saved_model.load(str(tmp_path)).signatures["rank"]
    assert set(rank.structured_input_signature[1]) == {"candidates", "history"}
    found = rank(candidates=tf.constant([["i2", "nobody's", "i1", ""]]), history=tf.constant([["i1"]]))
    # Items are there 6, 5, … times in training, and the toy ranking turns retrieval's order round.
    lowest = np.finfo(np.float32).min
    np.testing.assert_array_equal(found["retrieval_scores"], [[5, lowest, 6, lowest]])
    np.testing.assert_array_equal(found["scores"], [[-5, -lowest, -6, lowest]])
