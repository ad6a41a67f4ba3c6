"""What training of retrieval makes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.evaluation import metrics
from homefeed.models.retrieval.linear import linear_factors
from homefeed.models.retrieval.towers import two_tower
from homefeed.models.retrieval.training.evaluation import embed_queries
from homefeed.models.retrieval.training.windows import Windows
from homefeed.models.shared.item_vectors import unit


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained retrieval model.

    Attributes:
        towers: fitted; they embed queries.
        candidates: [num_rows, width + 1] float32 embeddings of the catalogue, for the towers' queries.
        linear: its scores are added to the towers'.
        content_maps: what it expects of a cold-start item.
        cold_start_boost: what was added to the scores of such items, that is, to the bias in `candidates`.
        max_linear_events: the most recent events that the linear model reads.
    """

    towers: two_tower.TwoTower
    candidates: npt.NDArray[np.float32]
    linear: linear_factors.LinearFactors
    content_maps: linear_factors.ContentMaps
    cold_start_boost: float
    max_linear_events: int

    @property
    def item_vectors(self) -> npt.NDArray[np.floating[Any]]:
        """[num_rows, width] as `shared.item_vectors` has them; 0 in row 0."""
        return np.concatenate([np.zeros_like(self.candidates[:1, :-1]), unit(self.candidates[1:, :-1])])

    def scores(self, windows: Windows, targets: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """[num_targets, num_rows] float32 scores for the histories before the target events."""
        return self.scores_in_parts(windows, targets)(slice(None))

    def scores_in_parts(self, windows: Windows, targets: npt.NDArray[np.int64]) -> metrics.Scores:
        """The same for some of the events at a time."""
        queries, width = self.queries(windows, targets), self.candidates.shape[1]
        towers, linear = queries[:, :width], queries[:, width:]
        return lambda part: towers[part] @ self.candidates.T + linear[part] @ self.linear.decode.T

    def queries(self, windows: Windows, targets: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """[num_targets, size] float32 query embeddings, as they are served: the towers', then the linear model's."""
        linear = self.linear.queries(self._recent(windows, targets))
        return np.concatenate([embed_queries(self.towers, windows, targets), linear], axis=1)

    def _recent(self, windows: Windows, targets: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int32]]:
        return [history[-self.max_linear_events :] for history in windows.histories(targets)]
