"""Fits rating factors to a catalogue and a training split, also with users left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.catalogue import Catalogue
from homefeed.models.ranking.layers.feature_encoder import bucket
from homefeed.models.ranking.ratings import factors as rating_factors
from homefeed.models.sequences import Sequences
from homefeed.models.shared.feature_spec import bucket_edges, feature_spec

NUM_FOLDS = 3


def fold(row: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Users' rows of the training split → the fit, 1 … NUM_FOLDS, that has not seen them."""
    return (1 + row % NUM_FOLDS).astype(np.int32)


class FeatureDesign:
    """Features of items or of users as columns of numbers; the same in NumPy as in TensorFlow.

    Args:
        categorical: as in Catalogue and Sequences.
        numeric: as there; embeddings and numbers that are never known are left out.
        vocabularies: as there.
    """

    def __init__(
        self,
        categorical: Mapping[str, npt.NDArray[np.int32]],
        numeric: Mapping[str, npt.NDArray[np.float32]],
        vocabularies: Mapping[str, tuple[str, ...]],
    ):
        spec = feature_spec(categorical, numeric, vocabularies, bucket_edges)
        self.sizes, self.edges = spec.vocabulary_sizes, spec.knots

    def __call__(
        self, categorical: Mapping[str, npt.NDArray[np.int32]], numeric: Mapping[str, npt.NDArray[np.float32]]
    ) -> npt.NDArray[np.float64]:
        """[num_rows, num_columns]: a column of ones, shares of categories, buckets of numbers."""
        num_rows = len(next(iter([*categorical.values(), *numeric.values()]), []))
        columns: list[npt.NDArray[np.float64]] = [np.ones((num_rows, 1))]
        for name, size in self.sizes.items():
            counts = np.stack([(categorical[name] == p).sum(1) for p in range(size)], 1).astype(np.float64)
            counts[:, 0] = 0
            columns.append(counts / np.maximum(counts.sum(1, keepdims=True), 1))
        for name, bounds in self.edges.items():
            number = numeric[name][:, 0]
            place = np.searchsorted(np.array(bounds, np.float32), number, side="right") + 1
            columns.append(np.eye(len(bounds) + 2)[np.where(np.isfinite(number), place, 0)])
        return np.concatenate(columns, 1)

    def in_graph(self, features: Mapping[str, tf.Tensor], like: tf.Tensor) -> tf.Tensor:
        """The same columns for a batch: [batch, num_columns] float32; `like` is any [batch] tensor."""
        columns = [tf.ones_like(like, tf.float32)[:, None]]
        for name, size in self.sizes.items():
            shares = tf.reduce_sum(tf.one_hot(features[name], size), axis=1)
            shares = tf.concat([tf.zeros_like(shares[:, :1]), shares[:, 1:]], axis=1)
            columns.append(shares / tf.maximum(tf.reduce_sum(shares, 1, keepdims=True), 1.0))
        for name, bounds in self.edges.items():
            columns.append(tf.one_hot(bucket(features[name][:, 0], bounds), len(bounds) + 2))
        return tf.concat(columns, axis=1)


def fit(
    catalogue: Catalogue,
    train: Sequences,
    user_design: FeatureDesign,
    *,
    num_factors: int,
    iterations: int,
    max_users: int,
    seed: int,
) -> Iterator[rating_factors.RatingFactors]:
    """The fit to everything, then for each fold one without its users. Nothing if there are no ratings.

    One at a time: of many items a fit is large.

    Of more than `max_users` users, so many are drawn: an item's factors need not know everybody who rated it.
    """
    targets = train.targets
    rated = targets[np.isfinite(train.value[targets]) & (train.item_index[targets] > 0)]
    if not len(rated):
        return
    user = np.searchsorted(train.row_splits, rated, side="right") - 1
    drawn = np.sort(np.random.default_rng(seed).permutation(train.num_users)[:max_users])
    rated, user = rated[np.isin(user, drawn)], user[np.isin(user, drawn)]
    item_design = FeatureDesign(catalogue.categorical, catalogue.numeric, catalogue.vocabularies)
    item_features = _padded(item_design(catalogue.categorical, catalogue.numeric), catalogue.num_rows)
    categorical = {name: column[drawn] for name, column in train.categorical.items()}
    numeric = {name: column[drawn] for name, column in train.numeric.items()}
    user_features = _padded(user_design(categorical, numeric), len(drawn))
    for left_out in range(NUM_FOLDS + 1):
        kept = fold(user) != left_out
        yield rating_factors.fit(
            np.searchsorted(drawn, user[kept]),
            train.item_index[rated[kept]].astype(np.int64),
            train.value[rated[kept]],
            user_features,
            item_features,
            num_factors=num_factors,
            iterations=iterations if left_out == 0 else iterations // 2,
            seed=seed,
        )


def _padded(features: npt.NDArray[np.float64], num_rows: int) -> npt.NDArray[np.float64]:
    """Without any feature, a column of ones is left."""
    return features if len(features) == num_rows else np.ones((num_rows, 1))
