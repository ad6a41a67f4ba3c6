"""What can be set about ranking, in one place."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """Sizes, rates and lengths; the defaults come from a few runs on MovieLens-100K's eval splits."""

    # What a training request is.
    targets: Literal["next", "any"] = "next"  # Events after a random point, or random ones given all others.
    num_targets: int = 10  # Labelled events of a training request, at most.
    num_listed: int = 4  # The first of those that the listwise loss calls relevant.
    num_negatives: int = 40  # Candidates of a training request beside its targets, out of `num_candidates`.
    num_candidates: int = 100  # What retrieval returns for a request.
    points_per_user: int = 4  # Prediction points of a user in one pass, drawn anew each time.
    # The model.
    width: int = 64  # Size of item vectors, attention and hidden layers.
    num_heads: int = 2  # Heads of the attention from candidates to events.
    num_events: int = 50  # Newest events that candidates attend to.
    num_factors: int = 16  # Size of the vectors that ratings are explained with.
    rating_iterations: int = 80  # Passes of fitting those.
    num_rated_events: int = 200  # Newest events that a user's taste in ratings is estimated from.
    dropout: float = 0.2  # Of hidden units while training.
    id_dropout: float = 0.1  # Share of items that are seen without their identity while training.
    # Training.
    base_model: str = ""  # Folder of an earlier Model to go on from; empty: from scratch.
    epochs: int = 12  # Passes over the users.
    patience: int = 3  # Passes without a better result on eval before training ends.
    batch_size: int = 32  # Requests a step.
    learning_rate: float = 2e-3  # At its highest.
    weight_decay: float = 0.01  # Decoupled (AdamW).
    list_weight: float = 1.0  # Weight of the listwise softmax loss; 0: no order is learnt.
    positive_weight: float = 1.0  # Weight of the cross-entropy of P(positive).
    rating_weight: float = 1.0  # Weight of the squared error of ratings, in standard deviations.
    calibration: Literal["platt", "none"] = "platt"  # Of probabilities, fitted on eval.
    seed: int = 0
