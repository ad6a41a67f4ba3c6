"""The training curve of retrieval."""

from __future__ import annotations

import math

from homefeed.models.retrieval.training.fit import Epoch
from homefeed.models.shared import training_log


class TrainingLog(training_log.TrainingLog[Epoch]):
    """Collects epochs of retrieval."""

    def summary(self) -> str:
        """How many epochs, and the best of them."""
        measured = [epoch for epoch in self.epochs if not math.isnan(epoch.ndcg)]
        if not measured:
            return f"{len(self.epochs)} epochs, nothing to evaluate on"
        best = max(measured, key=lambda epoch: epoch.ndcg_100)
        return f"{len(self.epochs)} epochs, NDCG@10 {best.ndcg:.4f} on eval"
