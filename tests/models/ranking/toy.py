"""A tiny ranker, untrained, and requests for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from homefeed.models.behaviour_text.user_sequence import UserSequence, text_tables
from homefeed.models.catalogue import Catalogue
from homefeed.models.ranking.examples.labelled_points import make_batch, tensors, unlisted
from homefeed.models.ranking.examples.prediction_points import every_target
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.text import bert
from homefeed.models.sequences import Sequences
from tests.components.ranking_toys import VOCABULARY

CONFIG = Hyperparameters(num_targets=2, num_negatives=0, width=4, max_events=3, num_tokens=16, num_factors=2)


def make_ranker(
    catalogue: Catalogue, train: Sequences, config: Hyperparameters = CONFIG, vocabulary: Sequence[str] = VOCABULARY
) -> Ranker:
    """Its weights exist."""
    text = UserSequence(text_tables(list(vocabulary), catalogue, train), config.num_tokens)
    backbone = bert.new_bert(len(vocabulary), layers=1, width=8, length=32, dropout=0.0)
    ranker = Ranker(backbone, text, catalogue, train, config)
    ranker(make_request(train, 2))
    return ranker


def make_request(train: Sequences, num_points: int) -> dict[str, tf.Tensor]:
    """The first prediction points of the training split."""
    points = every_target(train)[:num_points]
    asked = unlisted(train, points, 1, False)
    return tensors(make_batch(asked, np.arange(len(points)), CONFIG, np.random.default_rng(0)))
