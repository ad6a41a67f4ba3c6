import dataclasses

import numpy as np
import tensorflow as tf

from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.snapshot import named_variables
from homefeed.models.retrieval.towers.architecture import Architecture
from homefeed.models.retrieval.training import fit as training
from homefeed.models.retrieval.training.evaluation import tensors
from homefeed.models.retrieval.training.windows import Windows
from homefeed.models.shared.feature_spec import FeatureSpec
from tests.models.retrieval import toy

TINY = Hyperparameters(width=4, num_layers=1, max_events=3, num_heads=1, dropout=0.2)


def test_sizes_are_those_of_the_data() -> None:
    train = dataclasses.replace(
        toy.sequences(num_users=2), event_numeric={"value": np.array([1, 2, 5, np.nan, 1, 1], np.float32)}
    )
    found = Architecture.of(toy.catalogue(), train)
    assert found.item_spec == FeatureSpec({"categories": 4}, {"price": (1, 2, 3, 10, 11, 12, 13)}, {})
    assert found.user_spec.vocabulary_sizes == {"gender": 4} and list(found.user_spec.knots) == ["age"]
    assert found.event_spec == FeatureSpec({"event_type": 4}, {"value": (1.0, 2.0, 5.0)}, {})
    assert found.context_spec == FeatureSpec({}, {}, {}) and found.time_zone == ""
    assert (found.num_tokens, found.text_size, found.num_trained) == (
        10,
        3,
        6,
    )  # The highest token is 9; item 7 was never seen.


def test_towers_take_their_settings_from_the_config() -> None:
    found = Architecture.of(toy.catalogue(), toy.sequences())
    query, candidate = found.query_tower(TINY), found.candidate_tower(TINY)
    assert (query.width, query.num_layers, query.num_heads, query.max_events, query.dropout) == (4, 1, 1, 3, 0.2)
    assert candidate.width == 4
    assert (candidate.num_trained, candidate.num_tokens) == (6, 10)
    assert query.user_spec == found.user_spec and candidate.spec == found.item_spec


def test_building_on_nothing_makes_the_weights_that_data_make() -> None:
    catalogue, train = toy.catalogue(), toy.sequences()
    found = Architecture.of(catalogue, train)
    query, candidate = found.query_tower(TINY), found.candidate_tower(TINY)
    found.build(query, candidate)
    model = training.build(catalogue, train, TINY)
    model.compute_loss(tensors(next(Windows(train, 3).epoch(np.random.default_rng(0), 2))))
    for ours, theirs in ((query, model.query_tower), (candidate, model.candidate_tower)):
        shapes = [{name: v.shape for name, v in named_variables(tower).items()} for tower in (ours, theirs)]
        assert shapes[0] == shapes[1]


def test_without_features_there_is_no_encoder() -> None:
    catalogue = dataclasses.replace(
        toy.catalogue(), categorical={}, numeric={}, text_vectors=np.empty((0, 0), np.float32)
    )
    train = dataclasses.replace(toy.sequences(), categorical={}, numeric={})
    found = Architecture.of(catalogue, train)
    query, candidate = found.query_tower(TINY), found.candidate_tower(TINY)
    found.build(query, candidate)
    assert not [name for tower in (query, candidate) for name in named_variables(tower) if "features" in name]
    nothing = {"tokens": tf.zeros([2, 1], tf.int32), "text": tf.zeros([2, 0])}
    known, _ = candidate({"id": tf.constant([1, 2]), **nothing})
    assert np.isfinite(known).all()
