"""Hyperparameters of ranking."""

from __future__ import annotations

import dataclasses
from typing import Literal

from homefeed.models.shared.training_run import TrainingRun
from homefeed.schemas.settings import (
    AtLeastOne,
    Count,
    CountOrNone,
    Fraction,
    LearningRate,
    Share,
    Weight,
    at_most,
    divisible,
)


@dataclasses.dataclass(frozen=True)
class Hyperparameters(TrainingRun):
    """Sizes, rates and lengths; the defaults come from a few runs on MovieLens-100K's eval splits."""

    # What a training request is.
    targets: Literal["next", "any"] = "next"  # Events after a random point, or random ones given all others.
    num_targets: Count = 10  # Labelled events of a training request, at most.
    num_listed: Count = 4  # The first of those that the listwise loss calls relevant.
    num_negatives: CountOrNone = 40  # Candidates of a training request beside its targets, out of `num_retrieved`.
    num_retrieved: Count = 100  # What retrieval is asked for: a training request draws its negatives from it.
    points_per_user: Count = 4  # Prediction points of a user in one pass, drawn anew each time.
    max_points: Count = 10_000  # Prediction points of one pass, at most: a pass over many users takes some of them.
    # The model.
    width: Count = 64  # Size of item vectors, attention and hidden layers.
    num_heads: Count = 2  # Heads of the attention from candidates to events.
    max_events: Count = 50  # Newest events that candidates attend to.
    num_factors: Count = 16  # Size of the vectors that ratings are explained with.
    rating_iterations: CountOrNone = 80  # Passes of fitting those.
    max_rated_users: Count = 20_000  # Users whose ratings those are fitted to, drawn once.
    max_rated_events: Count = 200  # Newest events that a user's taste in ratings is estimated from.
    dropout: Fraction = 0.2  # Of hidden units while training.
    id_dropout: Share = 0.1  # Share of items that are seen without their identity while training.
    # Training.
    epochs: CountOrNone = 12  # Passes over the users.
    patience: Count = 3  # Passes without a better result on eval before training ends.
    batch_size: Count = 32  # Requests a step.
    learning_rate: LearningRate = 2e-3  # At its highest.
    weight_decay: Weight = 0.01  # Decoupled (AdamW).
    list_weight: Weight = 1.0  # Weight of the listwise softmax loss beside the others; 0: no order is learnt.
    exposure_weight: Weight = 0.3  # Weight of the same loss within what was shown; 0: exposures are not learnt from.
    # Within a page, what was left counts by inverse propensity, cut to this, over their mean; 1: all alike.
    max_inverse_propensity: AtLeastOne = 1.0
    objective_share: Share = 0.0  # Of that loss, what counts each event by its worth to the objective.
    value_price: Share = 0.02  # Share of the lists' worth on eval given up at most for more value on the page.

    def check(self) -> list[str]:
        """The rules between fields."""
        return [
            *divisible(self, "width", "num_heads"),
            *at_most(self, "num_listed", "num_targets"),
            *at_most(self, "num_negatives", "num_retrieved"),
        ]
