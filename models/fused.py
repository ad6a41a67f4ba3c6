"""Retrieval and ranking in one SavedModel: from request features to a ranked list in one call."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.shared import saved_model
from homefeed.models.shared.string_table import StringTable

# The longest list; each of its items has to be ranked.
MAX_K = 1000
_OF_CANDIDATES = ("candidates", "retrieval_scores", "candidate_token_ids")


class Fused(tf.Module):
    """Two SavedModels, reloaded; nothing of how they were trained is needed.

    Args:
        retrieval: folder with the signature `retrieve`.
        ranking: folder with the signature `rank`.
        num_candidates: how many of retrieval's items are ranked, at least. It is saved with the model, and who needs
            it later asks there (`serving.recommender.num_candidates_of`).
        new_texts: of items that retrieval may find and ranking may not know: id → [tokens] int32 of the item's
            text, all equally long, 0-padded.
    """

    def __init__(
        self,
        retrieval: pathlib.Path,
        ranking: pathlib.Path,
        num_candidates: int,
        new_texts: Mapping[bytes, npt.NDArray[np.int32]] | None = None,
    ):
        super().__init__(name="fused")
        self._models = [tf.saved_model.load(str(folder)) for folder in (retrieval, ranking)]
        self._retrieve = self._models[0].signatures["retrieve"]
        self._rank = self._models[1].signatures["rank"]
        self._score = self._models[0].signatures.get("score")  # Earlier models have none.
        self.num_candidates = tf.Variable(num_candidates, trainable=False)
        texts = list((new_texts or {}).values())
        self._new_rows = StringTable(list(new_texts or {}), first=1) if texts else None
        self._new_texts = tf.Variable(
            np.stack([np.zeros_like(texts[0]), *texts]) if texts else [[0]], trainable=False
        )

    @property
    def specs(self) -> dict[str, tf.TensorSpec]:
        """Input name → spec: what either of the two asks for, but for the candidates."""
        specs = _inputs(self._rank) | _inputs(self._retrieve)
        return {n: spec for n, spec in specs.items() if n not in _OF_CANDIDATES}

    def recommend(self, **request: tf.Tensor) -> dict[str, tf.Tensor]:
        """Retrieves, ranks, and keeps the best.

        Args:
            request: as `specs` says; `k` [batch] int32, of which the largest counts, up to `MAX_K`.

        Returns:
            `item_ids`, `titles`, `retrieval_scores` and each output of `rank`, all [batch, k], best first; and
            retrieval's `source` and ranking's `objective` [batch].
        """
        k = tf.clip_by_value(request["k"], 0, MAX_K)
        wide = tf.maximum(k, self.num_candidates)
        found = self._retrieve(**{name: request[name] for name in _inputs(self._retrieve)} | {"k": wide})
        # Who asks for less ranks no more for the sake of others in the batch.
        own = tf.sequence_mask(wide, tf.shape(found["item_ids"])[1])
        found |= {name: tf.where(own, found[name], "") for name in ("item_ids", "titles")}
        of_candidates = found["item_ids"], found["scores"], self._texts(found["item_ids"])
        inputs = request | dict(zip(_OF_CANDIDATES, of_candidates, strict=True))
        ranked = self._rank(**{name: inputs[name] for name in _inputs(self._rank)})
        _, best = tf.math.top_k(ranked["scores"], tf.minimum(tf.reduce_max(k), tf.shape(found["item_ids"])[1]))
        columns = {name: found[name] for name in ("item_ids", "titles")} | {"retrieval_scores": found["scores"]}
        columns |= ranked
        of_places = {name: column for name, column in columns.items() if column.shape.rank != 1}
        page = {name: tf.gather(column, best, batch_dims=1) for name, column in of_places.items()}
        of_lists = {name: column for name, column in (ranked | found).items() if name in ("source", "objective")}
        return page | of_lists

    def rank(self, candidates: tf.Tensor, **request: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores given candidates, as `recommend` does those that retrieval finds; filters and queries play no part.

        Args:
            candidates: [batch, num_candidates] string ids, "" for padding.
            request: as `rank_specs` says.

        Returns:
            `retrieval_scores` and each output of the ranking model's `rank`, all [batch, num_candidates].
        """
        assert self._score is not None
        of_request = {name: request[name] for name in _inputs(self._score) if name in request}
        found = self._score(candidates=candidates, **of_request)["scores"]
        inputs = request | dict(zip(_OF_CANDIDATES, (candidates, found, self._texts(candidates)), strict=True))
        return {"retrieval_scores": found, **self._rank(**{name: inputs[name] for name in _inputs(self._rank)})}

    @property
    def rank_specs(self) -> dict[str, tf.TensorSpec]:
        """Input name → spec of `rank`."""
        specs = _inputs(self._rank) | _inputs(self._score)
        return {name: spec for name, spec in specs.items() if name not in _OF_CANDIDATES[1:]}

    def _texts(self, item_ids: tf.Tensor) -> tf.Tensor:
        """[batch, k] string → [batch, k, tokens] int32, or [batch, 1, 1] where ranking knows every item."""
        if self._new_rows is None:
            return tf.zeros([tf.shape(item_ids)[0], 1, 1], tf.int32)
        return tf.gather(self._new_texts, self._new_rows.lookup(item_ids))

    def signatures(self) -> dict[str, Any]:
        """`recommend`, also under TensorFlow Serving's default name, and `rank`, where retrieval can score."""
        recommend = tf.function(self.recommend).get_concrete_function(**self.specs)
        found = {"serving_default": recommend, "recommend": recommend}
        if self._score is not None:
            found["rank"] = tf.function(self.rank).get_concrete_function(**self.rank_specs)
        return found

    def save(self, folder: pathlib.Path) -> None:
        """Writes the SavedModel."""
        saved_model.save(self, folder)


def _inputs(signature: Any) -> dict[str, tf.TensorSpec]:
    """Input name → spec of that name; the one that TensorFlow loads is called `history_paid` for `history_Paid`."""
    specs = signature.structured_input_signature[1]
    return {name: tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in specs.items()}
