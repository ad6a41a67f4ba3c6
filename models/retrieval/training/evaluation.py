"""Full ranking of a split's targets by the towers, and what it says of an epoch."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.evaluation import metrics
from homefeed.models.retrieval.towers.two_tower import TwoTower
from homefeed.models.retrieval.training.targets import sample_targets
from homefeed.models.retrieval.training.windows import Batch, Windows


@dataclasses.dataclass(frozen=True)
class Epoch:
    """Loss and quality after an epoch: one row of the training curve."""

    epoch: int  # From 0 on.
    loss: float
    ndcg: float  # NDCG@10 on the eval split; NaN where that is empty, or was not asked.
    ndcg_100: float  # NDCG@100, by which epochs are chosen: it asks for the first page too, and is less noisy.
    recall: float  # Recall@100.

    @classmethod
    def of(cls, epoch: int, loss: float, ranks: metrics.Ranks) -> Epoch:
        """An epoch that was evaluated, on what eval holds."""
        if not len(ranks.above):
            return cls.unmeasured(epoch, loss)
        quality = metrics.ndcg(ranks, 10), metrics.ndcg(ranks, 100), metrics.hit_rate(ranks, 100)
        return cls(epoch, loss, *(float(values.mean()) for values in quality))

    @classmethod
    def unmeasured(cls, epoch: int, loss: float) -> Epoch:
        """An epoch that was not evaluated."""
        return cls(epoch, loss, math.nan, math.nan, math.nan)

    @property
    def training_loss(self) -> float:
        """As `TrainingLog` asks."""
        return self.loss

    @property
    def quality(self) -> float:
        """As `TrainingLog` asks."""
        return self.ndcg_100

    @property
    def figure(self) -> str:
        """As `TrainingLog` asks."""
        return f"NDCG@10 {self.ndcg:.4f}"


def evaluate(model: TwoTower, windows: Windows) -> metrics.Ranks:
    """Full ranking of (a sample of) the split's targets among all trained items."""
    targets = sample_targets(windows.targets)
    scores = scores_of_known(model, windows, targets)
    return metrics.rank_in_parts(scores, windows.items(targets), windows.histories(targets), model.num_rows)


def embed_queries(
    model: TwoTower, windows: Windows, targets: npt.NDArray[np.int64], batch_size: int = 256
) -> npt.NDArray[np.float32]:
    """[num_targets, width + 1] float32 embeddings of the histories before the target events."""
    candidates = model.embed_all()
    batches = windows.queries(targets, batch_size)
    parts = [model.embed_last(tensors(batch), candidates).numpy() for batch in batches]
    return np.concatenate([*parts, np.empty((0, candidates.shape[1]), np.float32)])[: len(targets)]


def scores_of_known(model: TwoTower, windows: Windows, targets: npt.NDArray[np.int64]) -> metrics.Scores:
    """Scores for the histories before the target events, -inf for cold-start items.

    Their scores have no scale yet, which `blend.fit_cold_start_boost` gives them in the end. In a catalogue with many
    of them, they would hide how well the others are ordered.
    """
    queries, candidates = embed_queries(model, windows, targets), model.embed_all().numpy()
    return lambda part: np.where(model.is_trained, queries[part] @ candidates.T, np.float32(-np.inf))


def tensors(batch: Batch) -> dict[str, tf.Tensor]:
    """A batch of Windows for the graph."""
    return {name: tf.convert_to_tensor(column) for name, column in batch.items()}
