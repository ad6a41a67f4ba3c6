"""A tiny ranker, untrained, and requests for it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from homefeed.models.catalogue import Catalogue
from homefeed.models.ranking.examples.labelled_points import make_batch, tensors, unlisted
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.sequences import Sequences
from homefeed.models.shared.prediction_points import every_target
from tests.components.ranking_toys import text_model

CONFIG = Hyperparameters(num_targets=2, num_negatives=0, width=4, max_events=3, num_factors=2)


def make_ranker(catalogue: Catalogue, train: Sequences, config: Hyperparameters = CONFIG) -> Ranker:
    """Its weights exist."""
    ranker = Ranker(text_model(catalogue), catalogue, train, config)
    ranker(make_request(train, 2))
    return ranker


def make_request(train: Sequences, num_points: int) -> dict[str, tf.Tensor]:
    """The first prediction points of the training split."""
    points = every_target(train)[:num_points]
    asked = unlisted(train, points, 1, False)
    return tensors(make_batch(asked, np.arange(len(points)), CONFIG, np.random.default_rng(0)))
