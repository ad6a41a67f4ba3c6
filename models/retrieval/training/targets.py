"""Which events are targets: how much each weighs in training, and which of them evaluation asks about."""

from __future__ import annotations

import types
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from homefeed.models.sequences import Sequences

MAX_EVAL_QUERIES = 2_000  # Evenly spread over the eval split; enough to choose an epoch by.


def target_weights(
    sequences: Sequences,
    non_positive_weight: float = 1.0,
    event_weights: Mapping[str, float] = types.MappingProxyType({}),
    value_weight: float = 0.0,
) -> npt.NDArray[np.float32]:
    """[num_events] float32: 0 for what is no target, that is, context, unknown items and repetitions.

    What a user has already had is never retrieved, so it is not worth learning to retrieve it.

    Args:
        sequences: a split.
        non_positive_weight: weight of a target that does not count as liked, beside 1.
        event_weights: event type → what that is multiplied with; 1 for a type that is not named.
        value_weight: see Hyperparameters.
    """
    weight = np.where(sequences.positive, 1.0, non_positive_weight)
    if event_weights:
        names = sequences.event_vocabularies.get("event_type", ())
        factors = np.array([1.0, 1.0, *(event_weights.get(name, 1.0) for name in names)])
        if names:
            weight = weight * factors[sequences.event_categorical["event_type"]]
    if value_weight:
        weight = weight * _value_factors(sequences.value, value_weight)
    is_target = np.zeros(len(weight), np.bool_)
    is_target[sequences.targets] = True
    return np.where(sequences.is_first & is_target & (sequences.item_index > 0), weight, 0).astype(np.float32)


def _value_factors(value: npt.NDArray[np.float32], value_weight: float) -> npt.NDArray[np.float64]:
    """[num_events] float64 from 1, for the lowest value and for none, to 1 + value_weight, for the highest."""
    known = np.isfinite(value)
    if not known.any():
        return np.ones(len(value))
    low, high = float(value[known].min()), float(value[known].max())
    return 1 + value_weight * np.where(known, (value - low) / max(high - low, 1e-9), 0.0)


def sample_targets(targets: npt.NDArray[np.int64], most: int = MAX_EVAL_QUERIES) -> npt.NDArray[np.int64]:
    """`most` of a split's [num_targets] targets, evenly spread; all, where there are no more."""
    kept = min(len(targets), most)
    return targets[np.arange(kept) * len(targets) // max(kept, 1)]
