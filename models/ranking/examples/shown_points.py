"""Training requests of another kind: an impression of the past, what was taken of it and what was left."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from homefeed.models.exposures import Exposures
from homefeed.models.ranking.examples.labelled_points import Arrays
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.ranking.ratings import fits as rating_fits
from homefeed.models.sequences import Sequences
from homefeed.models.shared import prediction_points
from homefeed.models.shared.prediction_points import PredictionPoints, locate
from homefeed.models.shared.request_specs import OF_CONTEXT


@dataclasses.dataclass(frozen=True)
class ShownPoints:
    """Impressions that say what is better than what, each where it was in its user's events.

    Attributes:
        sequences: where they lie.
        points: where.
        exposures: what was shown there.
        in_training: whether rating factors were fitted to these users' events.
    """

    sequences: Sequences
    points: PredictionPoints
    exposures: Exposures
    in_training: bool

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def of(cls, exposures: Exposures | None, sequences: Sequences, in_training: bool) -> ShownPoints | None:
        """Those of users with events; None where there is none."""
        if exposures is None:
            return None
        chosen = exposures[exposures.contrasts()]
        found, points = locate(chosen, sequences)
        return cls(sequences, points, chosen[found], in_training) if len(found) else None


def make_shown_batch(
    shown: ShownPoints, which: npt.NDArray[np.int64], config: Hyperparameters, rng: np.random.Generator
) -> Arrays:
    """Model inputs and labels of some impressions.

    Returns:
        The request at the impression's time, and [batch, num_targets + num_negatives] (fewer, where no impression
        is as long): `candidates` int32 rows, at random where there are more; `position` int32, as in Exposures;
        `relevance` float32, 1 for what was taken; and `irrelevant` bool, what was left.
    """
    exposures, points, sequences = shown.exposures[which], shown.points[which], shown.sequences
    inputs = prediction_points.features(sequences, points, max(config.max_events, config.max_rated_events))
    inputs["fit"] = rating_fits.fold(points.row) * np.int32(shown.in_training)
    inputs["timestamp"] = exposures.timestamp
    _forget_context_of_others(inputs, points.cut == sequences.row_splits[points.row + 1])
    longest = int(np.diff(shown.exposures.row_splits).max())
    places = _draw(exposures, min(longest, config.num_targets + config.num_negatives), config.num_targets, rng)
    is_known = (places >= 0) & (exposures.item_index[places] > 0)
    clicked = exposures.clicked[places]
    irrelevant = is_known & ~clicked
    labels = {
        "candidates": np.where(is_known, exposures.item_index[places], 0).astype(np.int32),
        "position": np.where(is_known, exposures.position[places], 0).astype(np.int32),
        "relevance": (is_known & clicked).astype(np.float32),
        "irrelevant": irrelevant,
        "log_weight": _log_weights(exposures.propensity[places], irrelevant, config.max_inverse_propensity),
    }
    return inputs | labels


def _log_weights(
    propensity: npt.NDArray[np.float32], irrelevant: npt.NDArray[np.bool_], most: float
) -> npt.NDArray[np.float32]:
    """[batch, num] logarithms of inverse propensities, cut to `most`, over their mean in a page; 0 of what was taken.

    A page shows often what its policy prefers, which would be what is left more often than its taste deserves. Added
    to the logits they make the sum in a softmax that over all that could have been shown (as in Bengio and Senécal,
    2008). An unknown propensity counts as 1.
    """
    known = np.where(np.isfinite(propensity) & (propensity > 0), propensity, 1.0)
    weights = np.where(irrelevant, np.minimum(1 / known, most), 0.0)
    mean = weights.sum(axis=1, keepdims=True) / np.maximum(irrelevant.sum(axis=1, keepdims=True), 1)
    return np.log(np.where(irrelevant, weights / np.maximum(mean, 1.0), 1.0)).astype(np.float32)


def _forget_context_of_others(inputs: Arrays, is_last: npt.NDArray[np.bool_]) -> None:
    """Behind a user's last event stands another user's first."""
    for name, column in inputs.items():
        if name.startswith(OF_CONTEXT) or name == "query_token_ids":
            column[is_last] = np.nan if np.issubdtype(column.dtype, np.floating) else 0


def _draw(exposures: Exposures, num: int, num_taken: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """[num_impressions, num] places in `exposures`: at most `num_taken` of what was taken, then others; else -1."""
    rank = rng.random(len(exposures.item_index))
    order = np.lexsort((rank, ~exposures.clicked, exposures.impression))
    num_clicked = np.add.reduceat(exposures.clicked, exposures.row_splits[:-1], dtype=np.int64)
    place = np.arange(len(order)) - exposures.row_splits[exposures.impression]
    surplus = np.maximum(num_clicked - num_taken, 0)[exposures.impression]
    is_surplus = exposures.clicked[order] & (place >= num_taken)
    place = np.where(exposures.clicked[order], place, place - surplus)
    kept = ~is_surplus & (place < num)
    drawn = np.full((len(exposures), num), -1, np.int64)
    drawn[exposures.impression[kept], place[kept]] = order[kept]
    return drawn
