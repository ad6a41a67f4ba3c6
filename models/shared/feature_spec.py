"""What features there are, as training data show them: one spec for the layers of retrieval and of ranking."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.sequences import Sequences
from homefeed.models.shared.local_time import POSITIONS

Numbers = npt.NDArray[np.floating[Any]]
Quantiles = Callable[[Numbers], tuple[float, ...]]


@dataclasses.dataclass(frozen=True)
class FeatureSpec:
    """The features of items or of users.

    Attributes:
        vocabulary_sizes: categorical feature → number of positions, the two reserved ones included.
        knots: number → its distinct quantiles, ascending: the knots of a curve, or the edges of buckets.
        sizes: embedding feature → its size.
    """

    vocabulary_sizes: Mapping[str, int]
    knots: Mapping[str, tuple[float, ...]]
    sizes: Mapping[str, int]

    @property
    def names(self) -> list[str]:
        """Every feature, in the order in which they are added up."""
        return [*self.vocabulary_sizes, *self.knots, *self.sizes]

    def without(self, name: str) -> FeatureSpec:
        """The others."""
        return FeatureSpec(*({n: v for n, v in features.items() if n != name} for features in vars(self).values()))

    def to_config(self) -> dict[str, Any]:
        """Fit for JSON, as a layer's `get_config` must be."""
        return {name: dict(value) for name, value in vars(self).items()}

    @classmethod
    def from_config(cls, config: Mapping[str, Mapping[str, Any]]) -> FeatureSpec:
        """The inverse of `to_config`, also after a trip through JSON, which knows no tuples."""
        knots = {name: tuple(values) for name, values in config["knots"].items()}
        return cls(dict(config["vocabulary_sizes"]), knots, dict(config["sizes"]))


def quantile_knots(numbers: Numbers, max_knots: int = 16) -> tuple[float, ...]:
    """The distinct quantiles of the finite numbers, ends included; `(0.0,)` where there is none."""
    return _quantiles(numbers, np.linspace(0, 1, max_knots), "nearest") or (0.0,)


def bucket_edges(numbers: Numbers, num_buckets: int = 16) -> tuple[float, ...]:
    """Edges that split the finite numbers into buckets of about equal counts; none where there is no number."""
    return _quantiles(numbers, np.linspace(0, 1, num_buckets + 1)[1:-1], "linear")


def feature_spec(
    categorical: Mapping[str, npt.NDArray[np.int32]],
    numeric: Mapping[str, npt.NDArray[np.float32]],
    vocabularies: Mapping[str, tuple[str, ...]],
    quantiles: Quantiles = quantile_knots,
) -> FeatureSpec:
    """Describes the features of a Catalogue or of Sequences; a number that is never known is left out.

    Args:
        categorical, numeric, vocabularies: as there.
        quantiles: `quantile_knots` or `bucket_edges`.
    """
    known = {name: column for name, column in sorted(numeric.items()) if np.isfinite(column).any()}
    return FeatureSpec(
        vocabulary_sizes={name: len(vocabularies[name]) + 2 for name in sorted(categorical)},
        knots={name: quantiles(column) for name, column in known.items() if column.shape[1] == 1},
        sizes={name: column.shape[1] for name, column in known.items() if column.shape[1] > 1},
    )


def event_spec(train: Sequences, quantiles: Quantiles = quantile_knots) -> FeatureSpec:
    """The features of events, as training knows them."""
    columns = {kind: getattr(train, f"event_{kind}") for kind in ("categorical", "numeric")}
    categorical, numeric = ({name: array[:, None] for name, array in named.items()} for named in columns.values())
    return feature_spec(categorical, numeric, train.event_vocabularies, quantiles)


def context_spec(train: Sequences, quantiles: Quantiles = quantile_knots) -> FeatureSpec:
    """The features of a request's context: those of an event that are known beforehand, and local time."""
    events = event_spec(train, quantiles)
    sizes = {name: size for name, size in events.vocabulary_sizes.items() if name in train.context_names}
    knots = {name: values for name, values in events.knots.items() if name in train.context_names}
    return FeatureSpec(sizes | (POSITIONS if train.time_zone else {}), knots, {})


def _quantiles(numbers: Numbers, shares: Numbers, method: Any) -> tuple[float, ...]:
    finite = numbers[np.isfinite(numbers)].astype(np.float32)
    if not len(finite):
        return ()
    return tuple(float(value) for value in np.unique(np.quantile(finite, shares, method=method)))
