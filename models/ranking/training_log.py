"""The training curve of ranking."""

from __future__ import annotations

from homefeed.models.ranking.training import Epoch
from homefeed.models.shared import training_log


class TrainingLog(training_log.TrainingLog[Epoch]):
    """Collects epochs of ranking."""

    def summary(self) -> str:
        """How many epochs, and the best of them."""
        if not self.epochs:
            return "not trained"
        best = min(epoch.eval_loss for epoch in self.epochs)
        return f"{len(self.epochs)} epochs, loss {best:.4f} on eval"
