"""Hyperparameters of retrieval."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from homefeed.models.shared.training_run import TrainingRun
from homefeed.schemas.settings import Count, CountOrNone, Fraction, LearningRate, Share, Weight, divisible


@dataclasses.dataclass(frozen=True)
class RetrievalRun(TrainingRun):
    """Where a training of the towers begins, and on which devices it goes on."""

    # mirrored: each device of this machine takes its part of a batch; workers: each process of TF_CONFIG.
    strategy: Literal["none", "mirrored", "workers"] = "none"


@dataclasses.dataclass(frozen=True)
class Hyperparameters(RetrievalRun):
    """Hyperparameters with defaults that suit all data."""

    width: Count = 64  # Size of query and candidate embeddings.
    num_layers: Count = 2  # Transformer layers of the query tower.
    num_heads: Count = 2  # Attention heads a layer.
    max_events: Count = 64  # The most recent events that the query tower reads.
    dropout: Fraction = 0.3  # In the query tower.
    cold_start_share: Share = 0.25  # Of the windows, in which the latest items are scored as in a cold start.
    cold_start_span: Share = 0.1  # How late those came, as a share of the time that the training data spans.
    non_positive_weight: Weight = 1.0  # Weight of a target that does not count as liked, beside 1.
    cold_start_price: Share = 0.015  # Share of NDCG@100 on eval given up at most to let cold-start items in.
    linear_rank: CountOrNone = 128  # Of the linear item-to-item model beside the towers; 0: no such model.
    max_linear_events: Count = 256  # The most recent events that it reads.
    index: Literal["auto", "exact", "partitioned"] = "auto"  # Beyond 20,000 items, the faster at export.
    max_softmax_items: CountOrNone = 5_000  # Up to here the softmax is over all trained items; beyond, sampled.
    num_sampled: Count = 1024  # Uniform negatives a step beside the in-batch ones, when sampled.
    # Event type → weight of such a target; 1 where it is not named.
    event_weights: Mapping[str, Weight] = dataclasses.field(default_factory=dict)
    value_weight: Weight = 0.0  # A target of the highest value weighs 1 + this, one of the lowest or of none 1.
    batch_size: Count = 32  # Windows of `max_events` a step, or as many more as they are shorter.
    learning_rate: LearningRate = 2e-3  # Peak, after warm-up; falls to 0 along a cosine.
    warmup_fraction: Share = 0.05  # Share of all steps.
    weight_decay: Weight = 0.01  # Decoupled (AdamW), on everything but biases and norms.
    ema_momentum: Fraction = 0.99  # Of the running mean of the weights, which is what is kept.
    epochs: Count = 20  # At most; the learning rate reaches 0 after so many.
    max_steps: Count = 400  # Of one epoch, at most: of more data it takes a part, drawn anew.
    patience: Count = 6  # Epochs without a better NDCG@100 on the eval split before training stops.

    def check(self) -> list[str]:
        """The rules between fields."""
        return divisible(self, "width", "num_heads")
