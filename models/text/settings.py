"""What can be set about the text model, in one place."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Settings:
    """Sizes, rates and lengths; the defaults come from runs on the eval splits of the store and MovieLens-100K."""

    # The heads.
    head_size: int = 16  # Size of the vectors whose inner product says how well a text suits a request.
    num_events: int = 50  # Newest events of a history that are read.
    dropout: float = 0.1  # Of readings, while heads train.
    head_steps: int = 600  # The most steps of the heads, each time they are fitted.
    head_learning_rate: float = 3e-3
    head_weight_decay: float = 0.01
    batch_size: int = 256  # Requests a step.
    max_requests: int = 100_000  # Requests that are learnt from, drawn once.
    max_candidates: int = 4096  # Items that what came next is told apart from in one step.
    held_out: float = 0.1  # Share of known items that are kept from training, to stop and choose by.
    # BERT.
    num_layers: int = 1  # Of the compact BERT.
    width: int = 128  # Of the compact BERT; a head takes 64.
    max_tokens: int = 128  # Longest text that the compact BERT can read.
    bert_dropout: float = 0.1  # Of a compact BERT, while it trains.
    fine_tuning_steps: int = 200  # 0: BERT stays as it was.
    bert_learning_rate: float = 2e-3
    word_learning_rate: float = 2e-4  # Of its table of words: slower, lest it learns titles by heart.
    joint_learning_rate: float = 1e-3  # Of the heads while BERT trains.
    bert_weight_decay: float = 0.01
    texts_per_step: int = 160  # Items whose texts BERT reads with gradient.
    renewal_steps: int = 10  # Steps after which the history's readings are renewed.
    mask_rate: float = 0.2  # Share of words that are masked while BERT is fine-tuned.
    seed: int = 0
