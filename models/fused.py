"""Retrieval and ranking in one SavedModel: from request features to a ranked list in one call."""

from __future__ import annotations

import pathlib
from typing import Any

import tensorflow as tf

_OF_CANDIDATES = ("candidates", "retrieval_scores", "candidate_token_ids")


class Fused(tf.Module):
    """Two SavedModels, reloaded; nothing of how they were trained is needed.

    Args:
        retrieval: folder with the signature `retrieve`.
        ranking: folder with the signature `rank`.
        num_candidates: how many of retrieval's items are ranked, at least.
    """

    def __init__(self, retrieval: pathlib.Path, ranking: pathlib.Path, num_candidates: int = 100):
        super().__init__(name="fused")
        self._models = [tf.saved_model.load(str(folder)) for folder in (retrieval, ranking)]
        self._retrieve = self._models[0].signatures["retrieve"]
        self._rank = self._models[1].signatures["rank"]
        self._num_candidates = num_candidates

    @property
    def specs(self) -> dict[str, tf.TensorSpec]:
        """Input name → spec: what either of the two asks for, but for the candidates."""
        specs = _inputs(self._rank) | _inputs(self._retrieve)
        return {n: spec for n, spec in specs.items() if n not in _OF_CANDIDATES}

    def recommend(self, **request: tf.Tensor) -> dict[str, tf.Tensor]:
        """Retrieves, ranks, and keeps the best.

        Args:
            request: as `specs` says; `k` [batch] int32, of which the largest counts.

        Returns:
            `item_ids`, `titles`, and each output of `rank`, all [batch, k], best first; and retrieval's `source`
            [batch].
        """
        k = tf.maximum(tf.reduce_max(request["k"]), 0)
        wide = tf.fill(tf.shape(request["k"]), tf.maximum(k, self._num_candidates))
        found = self._retrieve(**{name: request[name] for name in _inputs(self._retrieve)} | {"k": wide})
        no_text = tf.zeros([tf.shape(wide)[0], 1, 1], tf.int32)  # Retrieval finds nothing that ranking lacks.
        inputs = request | dict(zip(_OF_CANDIDATES, (found["item_ids"], found["scores"], no_text), strict=True))
        ranked = self._rank(**{name: inputs[name] for name in _inputs(self._rank)})
        _, best = tf.math.top_k(ranked["scores"], tf.minimum(k, tf.shape(found["item_ids"])[1]))
        columns = {"item_ids": found["item_ids"], "titles": found["titles"]} | ranked
        page = {name: tf.gather(column, best, batch_dims=1) for name, column in columns.items()}
        return page | {name: column for name, column in found.items() if name == "source"}

    def save(self, folder: pathlib.Path) -> None:
        """Saves `recommend`, also under TensorFlow Serving's default name."""
        recommend = tf.function(self.recommend).get_concrete_function(**self.specs)
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        signatures = {"serving_default": recommend, "recommend": recommend}
        tf.saved_model.save(self, str(folder), signatures=signatures, options=options)


def _inputs(signature: Any) -> dict[str, tf.TensorSpec]:
    return dict(signature.structured_input_signature[1])
