"""What training of the ranker makes."""

from __future__ import annotations

import dataclasses

from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.training.blend import Blend, Calibration
from homefeed.models.ranking.training.trainer import Epoch


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained ranker and what was fitted on eval.

    Attributes:
        ranker: the model.
        blend: of the order of a list.
        calibration: of P(positive).
        epochs: passes of training.
        text_losses: of `TextAffinity` on eval in nats, before and after each of its passes.
    """

    ranker: Ranker
    blend: Blend
    calibration: Calibration
    epochs: tuple[Epoch, ...]
    text_losses: tuple[float, ...] = ()

    @property
    def with_text(self) -> bool:
        """Whether BERT reads the user: not where text did not help on eval."""
        return self.ranker.listens
