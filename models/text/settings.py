"""What can be set about the text model, in one place."""

from __future__ import annotations

import dataclasses

from homefeed.models.shared.training_run import SeededRun
from homefeed.schemas.settings import Count, CountOrNone, Fraction, LearningRate, Weight

HEAD_WIDTH = 64  # Of an attention head of the compact BERT.


@dataclasses.dataclass(frozen=True)
class Settings(SeededRun):
    """Sizes, rates and lengths; the defaults come from runs on the eval splits of the store and MovieLens-100K."""

    # The heads.
    head_size: Count = 16  # Size of the vectors whose inner product says how well a text suits a request.
    max_events: Count = 50  # Newest events of a history that are read.
    dropout: Fraction = 0.1  # Of readings, while heads train.
    preset_dropout: Fraction = 0.5  # The same, with a sentence encoder's readings, which tell any two titles apart.
    head_steps: CountOrNone = 600  # The most steps of the heads, each time they are fitted.
    head_learning_rate: LearningRate = 3e-3  # At its highest, of the heads alone.
    weight_decay: Weight = 0.01  # Decoupled (AdamW), of heads and BERT, not of its table of words.
    batch_size: Count = 256  # Requests a step.
    max_items: Count = 10_000  # Items with the most events, from which it is learnt what words mean.
    max_requests: Count = 100_000  # Requests that are learnt from, drawn once.
    num_candidates: Count = 4096  # Items that what came next is told apart from in one step.
    held_out: Fraction = 0.1  # Share of known items that are kept from training, to stop and choose by.
    # BERT.
    num_layers: Count = 1  # Of the compact BERT.
    width: Count = 128  # Of the compact BERT; a head takes 64.
    max_tokens: Count = 128  # Longest text that the compact BERT can read.
    bert_dropout: Fraction = 0.1  # Of a compact BERT, while it trains.
    fine_tuning_steps: CountOrNone = 400  # 0: BERT stays as it was.
    round_steps: Count = 100  # Steps after which hidden items judge BERT; the best of them stays.
    bert_learning_rate: LearningRate = 2e-3  # At its highest, of BERT's layers.
    word_learning_rate: LearningRate = 2e-4  # Of its table of words: slower, lest it learns titles by heart.
    joint_learning_rate: LearningRate = 1e-3  # Of the heads while BERT trains.
    texts_per_step: Count = 160  # Items whose texts BERT reads with gradient.
    renewal_steps: Count = 10  # Steps after which the history's readings are renewed.
    mask_rate: Fraction = 0.2  # Share of words that are masked while BERT is fine-tuned.

    def check(self) -> list[str]:
        """The rules between fields."""
        heads = max(1, self.width // HEAD_WIDTH)
        fits = HEAD_WIDTH * heads
        wrong = f"width should be a multiple of {HEAD_WIDTH}, or smaller, such as {fits}, got {self.width}"
        return [wrong] if self.width % heads else []
