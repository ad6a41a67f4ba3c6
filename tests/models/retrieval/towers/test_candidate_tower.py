import numpy as np
import tensorflow as tf

from homefeed.models.retrieval.towers import candidate_tower
from homefeed.models.shared.feature_spec import feature_spec
from tests.models.retrieval import toy


def _tower(id_dropout: float):
    catalogue = toy.catalogue()
    spec = feature_spec(catalogue.categorical, catalogue.numeric, catalogue.vocabularies)
    rows = candidate_tower.candidate_rows(catalogue, spec)
    tower = candidate_tower.CandidateTower(
        num_trained=6, spec=spec, num_tokens=10, width=4, id_dropout=id_dropout, text_dropout=0.0
    )
    return tower, {name: tf.constant(column) for name, column in rows.items()}


def _final(tower, rows):
    known, new = tower(rows)
    return np.where(rows["id"].numpy()[:, None] > 0, known, new)


def test_only_items_seen_in_training_have_ids():
    _, rows = _tower(0.0)
    assert rows["id"].numpy().tolist() == [0, 1, 2, 3, 4, 5, 6, 0]


def test_a_new_item_is_known_by_its_features():
    tower, rows = _tower(0.0)
    before = _final(tower, rows)
    tower.ids.assign(tower.ids + 1)
    after = _final(tower, rows)
    changed = np.abs(after - before).max(axis=1) > 0
    assert changed.tolist() == [False, True, True, True, True, True, True, False]
    assert np.abs(after[toy.NEW_ITEM]).max() > 0


def test_hidden_ids_leave_the_features():
    tower, rows = _tower(1.0)
    hidden, _ = tower(rows, training=True)
    tower.ids.assign(tf.zeros_like(tower.ids))
    tower.id_bias.assign(tf.zeros_like(tower.id_bias))
    without, _ = tower(rows)
    np.testing.assert_allclose(hidden, without, atol=1e-6)


def test_the_bias_of_a_new_item_is_learnt_apart():
    tower, rows = _tower(0.0)
    known, new = tower(rows)
    tower.new_bias.assign(3.0)
    known_after, new_after = tower(rows)
    np.testing.assert_array_equal(known, known_after)
    np.testing.assert_allclose(new_after - new, [[0, 0, 0, 0, 3]] * 8, atol=1e-6)


def test_tokens_of_few_trained_items_are_blanked_out():
    tokens = np.array([[0, 0], [5, 6], [5, 0], [5, 7], [7, 7]], np.int32)
    trained = np.array([False, True, True, True, False])
    assert candidate_tower.shared_tokens(tokens, trained).tolist() == [[0, 0], [5, 0], [5, 0], [5, 0], [0, 0]]
