"""The scale of ratings: what is subtracted from them, and what they are divided by."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from homefeed.models.sequences import Sequences


@dataclasses.dataclass(frozen=True)
class RatingScale:
    """Of the values of events in the training data, in the data's own unit; all 0 where there are none.

    Attributes:
        mean, deviation: of all values.
        lowest, highest: between which ratings are predicted.
        middle: halfway between the mean values of what was liked and what was not, in deviations from the mean.
    """

    mean: float = 0.0
    deviation: float = 0.0
    lowest: float = 0.0
    highest: float = 0.0
    middle: float = 0.0

    @classmethod
    def of(cls, train: Sequences) -> RatingScale:
        """Learns it from the training split."""
        known = np.isfinite(train.value)
        values = train.value[known]
        if not len(values):
            return cls()
        mean, deviation = float(values.mean()), float(values.std())
        kinds = [train.value[known & (train.positive == liked)] for liked in (False, True)]
        middle = 0.0
        if deviation > 0 and all(len(kind) for kind in kinds):
            middle = float((np.mean([kind.mean() for kind in kinds]) - mean) / deviation)
        return cls(mean, deviation, float(values.min()), float(values.max()), middle)

    @property
    def has_ratings(self) -> bool:
        """Whether events have values that tell one from another."""
        return self.deviation > 0

    def clipped(self, values: tf.Tensor) -> tf.Tensor:
        """float32 values, NaN for unknown; those beyond all that was ever seen count as the nearest that was."""
        known = tf.math.is_finite(values)
        return tf.where(known, tf.clip_by_value(tf.where(known, values, 0.0), self.lowest, self.highest), np.nan)

    def standardised(self, values: tf.Tensor) -> tf.Tensor:
        """float32 values, NaN for unknown → deviations from the mean, 0 for unknown."""
        return tf.where(tf.math.is_finite(values), (values - self.mean) / max(self.deviation, 1e-6), 0.0)
