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
    interaction: Literal["late", "cross"] = "late"  # BERT reads the user once, or the user with each candidate.
    width: int = 64  # Size of item vectors, attention and hidden layers.
    num_heads: int = 2  # Heads of the attention from candidates to events and to words.
    num_events: int = 50  # Newest events that candidates attend to.
    num_tokens: int = 128  # Length of the user's text.
    num_factors: int = 16  # Size of the vectors that ratings are explained with.
    rating_iterations: int = 80  # Passes of fitting those.
    num_rated_events: int = 200  # Newest events that a user's taste in ratings is estimated from.
    dropout: float = 0.2  # Of hidden units while training.
    id_dropout: float = 0.1  # Share of items that are seen without their identity while training.
    # Training.
    base_model: str = ""  # Folder of an earlier Model to go on from; empty: from scratch.
    fine_tune: Literal["full", "last_n", "lora", "head"] = "full"  # Which of BERT's weights change.
    last_n: int = 1  # Layers that change under `last_n`.
    lora_rank: int = 4  # Under `lora`.
    epochs_without_text: int = 12  # Passes over the users before BERT joins.
    epochs_with_text: int = 1  # Passes over the users with BERT.
    patience: int = 3  # Passes without a better result on eval before a phase ends.
    batch_size: int = 32  # Requests a step.
    accumulated_steps: int = 1  # Steps whose gradients are averaged before the weights change.
    learning_rate: float = 2e-3  # Highest rate of everything but BERT.
    rate_with_text: float = 0.1  # Share of that rate while BERT trains: what is learnt by then is kept.
    bert_learning_rate: float = 2e-4  # Highest rate while BERT trains.
    weight_decay: float = 0.01  # Decoupled (AdamW).
    list_weight: float = 1.0  # Weight of the listwise softmax loss; 0: no order is learnt, nor texts' affinity.
    positive_weight: float = 1.0  # Weight of the cross-entropy of P(positive).
    rating_weight: float = 1.0  # Weight of the squared error of ratings, in standard deviations.
    distil_weight: float = 0.0  # Weight of the cross-entropy to a `cross` teacher, which is trained first; 0: none.
    adversarial: float = 0.0  # Length of the worst step of the word vectors (FGM) that BERT must withstand; 0: none.
    balance_classes: bool = False  # Liked and not liked weigh the same; calibration then mends the probabilities.
    calibration: Literal["platt", "temperature", "none"] = "platt"  # Of probabilities, fitted on eval.
    seed: int = 0
