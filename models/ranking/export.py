"""The ranking model as it is served: from ids and features to scores, in stock TensorFlow ops."""

from __future__ import annotations

import pathlib
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

from homefeed.models.behaviour_text import wordpiece
from homefeed.models.catalogue import Catalogue
from homefeed.models.ranking.training import Trained
from homefeed.models.sequences import Sequences
from homefeed.models.shared import string_table
from homefeed.models.shared.request_specs import request_specs

VOCABULARY_FILE = "vocab.txt"
_LOWEST = np.finfo(np.float32).min


class RankingModule(tf.Module):
    """Holds a trained ranker, the encoded catalogue and the tables that turn strings into positions.

    Args:
        trained: the ranker and what was fitted on eval.
        catalogue: what can be ranked.
        train: tells which request features the model knows, and their vocabularies.
    """

    def __init__(self, trained: Trained, catalogue: Catalogue, train: Sequences):
        super().__init__(name="ranking")
        self._trained = trained
        trained.ranker.freeze()
        # SavedModel keeps what it can reach; it does not know Keras 3's variables.
        self._weights = [variable.value for variable in trained.ranker.variables]
        self._tables = (trained.ranker.frozen, trained.ranker.constants)
        self._item_rows = string_table.StringTable(catalogue.item_ids[1:].tolist(), first=1)
        self._event_types = string_table.vocabulary_table(train.vocabularies.get("event_type", ()))
        self._user_tables = {
            name: string_table.vocabulary_table(train.vocabularies[name]) for name in train.categorical
        }
        self._specs = rank_specs(train)
        self.vocabulary = trained.ranker.text.tables.vocabulary
        self.asset: tf.saved_model.Asset | None = None

    def signatures(self) -> dict[str, Any]:
        """`rank`, also under TensorFlow Serving's default name."""
        rank = tf.function(self.rank).get_concrete_function(**self._specs)
        return {"serving_default": rank, "rank": rank}

    def rank(self, candidates: tf.Tensor, retrieval_scores: tf.Tensor, **request: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores candidates.

        Args:
            candidates: [batch, num_candidates] string ids, "" for padding. An id that is not in the catalogue is
                scored by its text, and without one as an item of which nothing is known.
            retrieval_scores: [batch, num_candidates] float32.
            request: who asks, and `candidate_token_ids` [batch, num_candidates or 1, tokens] int32.

        Returns:
            `scores`, to sort by, `probabilities` of being liked, and where the data has values `ratings`, all
            [batch, num_candidates] float32; padding has the lowest float32, 0 and 0.
        """
        ranker, blend, calibration = self._trained.ranker, self._trained.blend, self._trained.calibration
        inputs = self._positions(request) | {"candidates": self._item_rows.lookup(candidates)}
        inputs |= {name: self._known(request[name]) for name in request if name.endswith("_token_ids")}
        outputs = ranker(inputs, with_text=self._trained.with_text)
        present = candidates != ""
        retrieval = standardise(retrieval_scores, present & (retrieval_scores > _LOWEST))
        scores = blend.retrieval * retrieval + blend.ranker * outputs["list_logits"]
        scores += blend.text * outputs["text_logits"]
        probabilities = tf.sigmoid(calibration.slope * outputs["positive_logits"] + calibration.offset)
        results = {
            "scores": tf.where(present, scores, _LOWEST),
            "probabilities": tf.where(present, probabilities, 0.0),
        }
        if ranker.has_ratings:
            ratings = ranker.rating_mean + ranker.rating_deviation * outputs["ratings"]
            results["ratings"] = tf.where(present, tf.clip_by_value(ratings, *ranker.rating_range), 0.0)
        return results

    def _known(self, token_ids: tf.Tensor) -> tf.Tensor:
        """A token of another vocabulary is an unknown one."""
        vocabulary = self._trained.ranker.text.tables.vocabulary
        known = (token_ids >= 0) & (token_ids < len(vocabulary))
        return tf.where(known, token_ids, vocabulary.index(wordpiece.UNK))

    def _positions(self, request: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Strings to positions; the history newest first, without what is unknown."""
        rows = self._item_rows.lookup(request["history"])
        # At least one place, so that there is a newest one.
        rows = tf.pad(rows, ((0, 0), (1, 0)))[:, ::-1]
        order = tf.argsort(tf.cast(rows == 0, tf.int32), axis=1, stable=True)
        order = order[:, : max(self._trained.ranker.config.num_events, self._trained.ranker.config.num_rated_events)]
        inputs = {"history": tf.gather(rows, order, batch_dims=1), "timestamp": request["timestamp"]}
        for name, column in request.items():
            if name.startswith("history_"):
                if column.dtype == tf.string:
                    column = self._event_types.lookup(column)
                column = tf.pad(column, ((0, 0), (1, 0)))[:, ::-1]
                inputs[name] = tf.gather(column, order, batch_dims=1)
            elif name.startswith("user_"):
                column = column[:, None] if len(column.shape) == 1 else column
                table = self._user_tables.get(name.removeprefix("user_"))
                inputs[name] = table.lookup(column) if table else column
        known = tf.cast(inputs["history"] > 0, tf.int64)
        inputs["history_timestamp"] *= known
        return inputs


def standardise(scores: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """`homefeed.models.ranking.blend.standardise` in the graph."""
    mask = tf.cast(present, tf.float32)
    count = tf.maximum(tf.reduce_sum(mask, 1, keepdims=True), 1.0)
    kept = tf.where(present, scores, 0.0)
    centred = (kept - tf.reduce_sum(kept, 1, keepdims=True) / count) * mask
    return centred / (tf.sqrt(tf.reduce_sum(tf.square(centred), 1, keepdims=True) / count) + 1e-6)


def rank_specs(train: Sequences) -> dict[str, tf.TensorSpec]:
    """Input name → spec of what the model is asked with; queries where it has learnt from some."""
    tokens = tf.TensorSpec([None, None], tf.int32, name="query_token_ids")
    queries = {} if train.query_token_ids is None else {"query_token_ids": tokens}
    return {
        "candidates": tf.TensorSpec([None, None], tf.string, name="candidates"),
        "retrieval_scores": tf.TensorSpec([None, None], tf.float32, name="retrieval_scores"),
        "candidate_token_ids": tf.TensorSpec([None, None, None], tf.int32, name="candidate_token_ids"),
        "timestamp": tf.TensorSpec([None], tf.int64, name="timestamp"),
        **queries,
        **request_specs(train),
    }


def save(module: RankingModule, folder: pathlib.Path) -> None:
    """Saves the signatures, and the vocabulary that texts of requests are tokenised with, as `assets/vocab.txt`.

    The folder loads in a process that has no code of ours.
    """
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    with tempfile.TemporaryDirectory(prefix="homefeed-") as assets:
        file = pathlib.Path(assets) / VOCABULARY_FILE
        file.write_text("".join(f"{token}\n" for token in module.vocabulary), encoding="utf-8")
        module.asset = tf.saved_model.Asset(str(file))
        tf.saved_model.save(module, str(folder), signatures=module.signatures(), options=options)
