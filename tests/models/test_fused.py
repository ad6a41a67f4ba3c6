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
