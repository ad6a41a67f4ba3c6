import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from homefeed.models.retrieval.towers import candidate_tower
from homefeed.models.shared.feature_spec import FeatureSpec, feature_spec
from tests.models.retrieval import toy


def _tower() -> Any:
    catalogue = toy.catalogue()
    spec = feature_spec(catalogue.categorical, catalogue.numeric, catalogue.vocabularies)
    rows = candidate_tower.candidate_rows(catalogue, spec)
    tower = candidate_tower.CandidateTower(num_trained=6, spec=spec, num_tokens=10, text_size=3, width=4)
    return tower, {name: tf.constant(column) for name, column in rows.items()}


def _final(tower: Any, rows: Any) -> Any:
    known, new = tower(rows)
    return np.where(rows["id"].numpy()[:, None] > 0, known, new)


def test_only_items_seen_in_training_have_ids() -> None:
    _, rows = _tower()
    assert rows["id"].numpy().tolist() == [0, 1, 2, 3, 4, 5, 6, 0]


def test_a_new_item_is_known_by_its_features() -> None:
    tower, rows = _tower()
    before = _final(tower, rows)
    tower.ids.assign(tower.ids + 1)
    after = _final(tower, rows)
    changed = np.abs(after - before).max(axis=1) > 0
    assert changed.tolist() == [False, True, True, True, True, True, True, False]
    assert np.abs(after[toy.NEW_ITEM]).max() > 0


def test_what_a_text_means_is_added_whatever_the_length_of_its_vector() -> None:
    tower, rows = _tower()
    before = tower(rows)
    tower.text_kernel.assign(tf.ones_like(tower.text_kernel))
    known, new = (after.numpy() - early.numpy() for after, early in zip(tower(rows), before, strict=True))
    np.testing.assert_allclose(known[:, :-1], new[:, :-1], atol=1e-6)
    vectors = toy.catalogue().text_vectors
    lengths = np.maximum(np.linalg.norm(vectors, axis=1), 1e-6)
    np.testing.assert_allclose(new[:, 0], vectors.sum(axis=1) / lengths, atol=1e-5)


def test_the_bias_of_a_new_item_is_learnt_apart() -> None:
    tower, rows = _tower()
    known, new = tower(rows)
    tower.new_bias.assign(3.0)
    known_after, new_after = tower(rows)
    np.testing.assert_array_equal(known, known_after)
    np.testing.assert_allclose(new_after - new, [[0, 0, 0, 0, 3]] * 8, atol=1e-6)


def test_tokens_of_few_trained_items_are_blanked_out() -> None:
    tokens = np.array([[0, 0], [5, 6], [5, 0], [5, 7], [7, 7]], np.int32)
    trained = np.array([False, True, True, True, False])
    assert candidate_tower.shared_tokens(tokens, trained).tolist() == [[0, 0], [5, 0], [5, 0], [5, 0], [0, 0]]


def _weights(tower: Any) -> Any:
    """Other than they begin, which is 0 for most."""
    rng = np.random.default_rng(0)
    for variable in tower.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return {variable.name.partition("/")[2].partition(":")[0]: variable.numpy() for variable in tower.weights}


def test_embeddings_in_numpy() -> None:
    tower, rows = _tower()
    tower(rows)
    weights = _weights(tower)
    tokens, ids = rows["tokens"].numpy(), rows["id"].numpy()
    features = tower._features(rows).numpy()
    known, new = (part.numpy() for part in tower(rows))
    for row in range(8):
        words = [weights["tokens"][token] for token in tokens[row] if token]
        content = features[row] + (np.mean(words, axis=0) if words else 0)
        text = rows["text"].numpy()[row]
        content = content + text @ weights["text_kernel"] / max(np.linalg.norm(text), 1e-6)
        embedding = content + (weights["ids"][ids[row]] if ids[row] else 0)
        bias = content @ weights["bias_kernel"][:, 0] + (weights["id_bias"][ids[row]] if ids[row] else 0)
        np.testing.assert_allclose(known[row], [*embedding, bias], rtol=1e-4, atol=1e-5)
        bias = content @ weights["bias_kernel"][:, 1] + weights["new_bias"]
        np.testing.assert_allclose(new[row], [*content, bias], rtol=1e-4, atol=1e-5)


def test_an_item_outside_the_catalogue_is_embedded_as_one_in_a_cold_start() -> None:
    tower, rows = _tower()
    _, new = tower(rows)
    _weights(tower)
    _, new = tower(rows)
    features = {name: rows[name] for name in ("tokens", "text", *tower.spec.names)}
    np.testing.assert_allclose(tower.embed_new(features), new, rtol=1e-5, atol=1e-6)


def test_what_embeds_new_items_is_all_but_the_ids() -> None:
    tower, rows = _tower()
    tower(rows)
    names = {variable.name.partition("/")[2] for variable in tower.content_weights}
    assert {variable.name.partition("/")[2] for variable in tower.weights} - names == {"ids:0", "id_bias:0"}


def test_rows_of_a_catalogue() -> None:
    counts = np.array([5, 0, 3, 1])  # Row 0 is nothing, whatever it counts.
    catalogue = dataclasses.replace(
        toy.catalogue(),
        item_ids=toy.catalogue().item_ids[:4],
        token_ids=np.array([[0, 0], [5, 5], [5, 6], [7, 5]], np.int32),
        train_counts=counts,
        categorical={"categories": np.array([[0], [2], [3], [2]], np.int32)},
        numeric={},
    )
    rows = candidate_tower.candidate_rows(catalogue, FeatureSpec({"categories": 4}, {}, {}))
    assert rows["id"].tolist() == [0, 0, 1, 2]
    assert not rows["tokens"].any(), "token 5 is in three items, but in two of the trained ones"
    assert rows["categories"].tolist() == [[0], [2], [3], [2]]


def test_a_word_twice_in_one_item_is_one_item() -> None:
    tokens = np.array([[0, 0], [5, 5], [5, 6], [6, 6], [6, 0]], np.int32)
    shared = candidate_tower.is_shared(tokens, np.array([False, True, True, True, True]))
    assert shared.tolist() == [False] * 6 + [True]
