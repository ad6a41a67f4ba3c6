"""SavedModels with the signatures of ours, small enough that every answer is known beforehand."""

import pathlib

import numpy as np
import tensorflow as tf

from homefeed.models.catalogue import Catalogue
from homefeed.models.fused import Fused

NOTHING = tf.float32.min


class ToyRetrieval(tf.Module):
    """Retrieves by `train_counts`, without the history."""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__()
        self._ids = tf.constant(catalogue.item_ids.astype("S"))
        self._titles = tf.constant(catalogue.titles.astype("S"))
        self._counts = tf.constant(catalogue.train_counts, tf.float32)

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.string, "history"), tf.TensorSpec([None], tf.int32, "k")]
    )
    def retrieve(self, history: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        seen = tf.reduce_any(history[:, :, None] == self._ids, axis=1)
        scores = tf.where(seen, NOTHING, tf.concat([[NOTHING], self._counts[1:]], axis=0))
        best, rows = tf.math.top_k(scores, tf.minimum(tf.reduce_max(k), tf.size(self._counts) - 1))
        rows = tf.where(best > NOTHING, rows, 0)
        source = tf.fill(tf.shape(history)[:1], "popular")
        found = {"item_ids": tf.gather(self._ids, rows), "titles": tf.gather(self._titles, rows), "scores": best}
        return found | {"source": source}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.string, "candidates"),
            tf.TensorSpec([None, None], tf.string, "history"),
        ]
    )
    def score(self, candidates: tf.Tensor, history: tf.Tensor) -> dict[str, tf.Tensor]:
        is_item = candidates[:, :, None] == self._ids[1:]
        counts = tf.reduce_sum(tf.where(is_item, self._counts[1:], 0.0), axis=2)
        return {"scores": tf.where(tf.reduce_any(is_item, axis=2), counts, NOTHING)}


class ToyRanking(tf.Module):
    """Turns retrieval's order round; every probability is 0.5."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.string, "candidates"),
            tf.TensorSpec([None, None], tf.float32, "retrieval_scores"),
        ]
    )
    def rank(self, candidates: tf.Tensor, retrieval_scores: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = tf.where(candidates == "", NOTHING, -retrieval_scores)
        return {"scores": scores, "probabilities": tf.fill(tf.shape(scores), 0.5)}


def save(toy: tf.Module, model: pathlib.Path, *names: str) -> None:
    """Writes the toy as the SavedModel of a model's folder, with its signatures; the first is the default."""
    signatures = {"serving_default": getattr(toy, names[0])} | {name: getattr(toy, name) for name in names}
    tf.saved_model.save(toy, str(model / "Format-Serving"), signatures=signatures)


def save_toy_models(folder: pathlib.Path, catalogue: Catalogue) -> dict[str, pathlib.Path]:
    """Model name → folder with a SavedModel; `fused` joins the other two."""
    save(ToyRetrieval(catalogue), folder / "retrieval", "retrieve", "score")
    save(ToyRanking(), folder / "ranking", "rank")
    saved = {name: folder / name for name in ("retrieval", "ranking", "fused")}
    Fused(*(saved[name] / "Format-Serving" for name in ("retrieval", "ranking")), num_candidates=100).save(
        saved["fused"] / "Format-Serving"
    )
    return saved


def counts_order(catalogue: Catalogue) -> list[str]:
    """Item ids, most counted first."""
    order = np.argsort(-catalogue.train_counts[1:], kind="stable") + 1
    return [catalogue.item_ids[row].decode() for row in order]
