"""Filters of a request: by categories and language of items."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from homefeed.models.catalogue import Catalogue
from homefeed.models.shared import string_table

FEATURES = ("categories", "language")  # Item features that a request can filter by, where the catalogue has them.


class Filters(tf.Module):
    """For each of FEATURES the accepted values: an item passes if it has one of them.

    Args:
        catalogue: what is filtered.
    """

    def __init__(self, catalogue: Catalogue):
        super().__init__(name="filters")
        names = [name for name in FEATURES if name in catalogue.categorical]
        self._sizes = {name: len(catalogue.vocabularies[name]) + 2 for name in names}
        self._strings = {name: string_table.vocabulary_table(catalogue.vocabularies[name]) for name in names}
        self._values = {
            name: tf.Variable(catalogue.categorical[name], trainable=False, name=f"item_{name}") for name in names
        }

    @property
    def specs(self) -> dict[str, tf.TensorSpec]:
        """`filter_<feature>` [batch, num_values] string; a row of "" accepts everything."""
        return {f"filter_{name}": tf.TensorSpec([None, None], tf.string, f"filter_{name}") for name in self._sizes}

    def read(self, request: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Feature → [batch, vocabulary size] float32: 1 for what is accepted, all 1 where nothing is asked for.

        A value that no item has accepts no item.
        """
        return {name: self._read(name, request[f"filter_{name}"]) for name in self._sizes}

    def accepts(self, accepted: Mapping[str, tf.Tensor]) -> tf.Tensor | None:
        """One row of what `read` gives → [num_rows] bool; None where there is nothing to filter by."""
        masks = [
            tf.reduce_any(tf.gather(accepted[name], values) > 0, axis=1) for name, values in self._values.items()
        ]
        return tf.reduce_all(tf.stack(masks), axis=0) if masks else None

    def _read(self, name: str, values: tf.Tensor) -> tf.Tensor:
        positions = self._strings[name].lookup(values)
        size = self._sizes[name]
        accepted = tf.math.bincount(
            positions, minlength=size, maxlength=size, dtype=tf.float32, axis=-1, binary_output=True
        )
        accepted *= tf.cast(tf.range(size) > 1, tf.float32)
        is_asked = tf.reduce_any(positions > 0, axis=1, keepdims=True)
        return tf.where(is_asked, accepted, tf.ones_like(accepted))
