"""The ranking model as it is served: from ids and features to scores, in stock TensorFlow ops."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from homefeed.models.catalogue import Catalogue
from homefeed.models.ranking.training.calibration import Calibration
from homefeed.models.ranking.training.trained import Trained
from homefeed.models.sequences import Sequences
from homefeed.models.shared import saved_model
from homefeed.models.shared.prediction_points import RECENT
from homefeed.models.shared.request_reader import RequestReader
from homefeed.models.shared.request_specs import MAX_CANDIDATES, MAX_QUERY_TOKENS, OF_EVENTS, RequestFeatures

_LOWEST = np.finfo(np.float32).min
_LARGEST = 1e15  # Of a retrieval score: its square is a float as well.


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
        self._reader = RequestReader(catalogue.item_ids, RequestFeatures.of(train))
        self._specs = rank_specs(train)
        objectives = trained.ranker.objectives
        blends = (trained.objectives.get(name, trained.blend) for name in objectives.names)
        self._objective_names = tf.constant(objectives.names)
        self._blends = tf.constant([dataclasses.astuple(blend) for blend in blends], tf.float32)
        self._worth = tf.Variable(objectives.worth, trainable=False)
        self.vocabulary = trained.ranker.text.vocabulary

    def signatures(self) -> dict[str, Any]:
        """`rank`, also under TensorFlow Serving's default name."""
        rank = tf.function(self.rank).get_concrete_function(**self._specs)
        # SavedModel keeps what it can reach, and does not know Keras 3's variables. What the graph does not read, it
        # does not keep: the embeddings of ids, say, are in `frozen`.
        self._variables = list(rank.graph.variables)
        return {"serving_default": rank, "rank": rank}

    def save(self, folder: pathlib.Path) -> None:
        """Writes the SavedModel; its vocabulary goes with it, as `assets/vocab.txt`."""
        saved_model.save(self, folder, self.vocabulary)

    def rank(self, candidates: tf.Tensor, retrieval_scores: tf.Tensor, **request: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores candidates.

        Args:
            candidates: [batch, num_candidates] string ids, "" for padding. An id that is not in the catalogue is
                scored by its text, and without one as an item of which nothing is known.
            retrieval_scores: [batch, num_candidates] float32.
            request: who asks, `objective` [batch] string, what to sort for ("": the model's own), and
                `candidate_token_ids` [batch, num_candidates or 1, tokens] int32.

        Returns:
            `scores`, to sort by: the sum of `interests`, how likely each comes next, and weighted `expected_values`
            to the objective; `probabilities` of being liked and their `probability_deviation`, and where the data has
            values `ratings`, all [batch, num_candidates] float32; padding has the lowest float32 in `scores`, else 0.
            And `objective` [batch] string, what the list is sorted for.
        """
        request = self._reader.in_seconds(request)
        tf.debugging.assert_less_equal(
            tf.shape(candidates)[1], MAX_CANDIDATES, f"`candidates` holds at most {MAX_CANDIDATES} ids a request."
        )
        tf.debugging.assert_equal(
            tf.shape(candidates), tf.shape(retrieval_scores), "Each of `candidates` has one of `retrieval_scores`."
        )
        # The graph goes on beside its assertions: what is refused for its length must not be read as a whole first.
        candidates, retrieval_scores = candidates[:, :MAX_CANDIDATES], retrieval_scores[:, :MAX_CANDIDATES]
        ranker, blend = self._trained.ranker, self._trained.blend
        inputs = self._recent(request) | self._reader.context(request) | self._reader.user(request)
        inputs |= {"candidates": self._reader.items.lookup(candidates), "timestamp": request["timestamp"]}
        inputs |= {
            name: ranker.text.with_ids_in_range(request[name]) for name in request if name.endswith("_token_ids")
        }
        if "query_token_ids" in inputs:
            inputs["query_token_ids"] = inputs["query_token_ids"][:, :MAX_QUERY_TOKENS]
        if "candidate_token_ids" in inputs:
            inputs["candidate_token_ids"] = _at_least_one(inputs["candidate_token_ids"])
        outputs = ranker(inputs)
        present = candidates != ""
        is_found = present & tf.math.is_finite(retrieval_scores) & (retrieval_scores > _LOWEST)
        retrieval = standardise(tf.clip_by_value(retrieval_scores, -_LARGEST, _LARGEST), is_found)
        parts = tf.stack([retrieval, outputs["list_logits"], outputs["text_logits"]], -1)
        interest = standardise(tf.linalg.matvec(parts, tf.constant(blend.interest, tf.float32)), present)
        probabilities = self._probabilities(outputs, interest)
        objective = self._objective(request["objective"])
        values = self._values(objective, inputs["candidates"], probabilities)
        weights = tf.gather(self._blends, objective)
        interests = tf.linalg.matvec(parts, weights[:, :3])
        scores = interests + weights[:, 3:] * values
        liked = probabilities[..., 0]
        num_events = tf.reduce_sum(tf.cast(inputs["recent_items"] > 0, tf.float32), axis=1, keepdims=True)
        of_items = tf.gather(ranker.item_counts, inputs["candidates"])
        deviation = self._trained.uncertainty.deviation(liked, num_events, of_items)
        results = {
            "scores": tf.where(present, scores, _LOWEST),
            "interests": tf.where(present, interests, 0.0),
            "expected_values": tf.where(present, values, 0.0),
            "probabilities": tf.where(present, liked, 0.0),
            "probability_deviation": tf.where(present, deviation, 0.0),
            "objective": tf.gather(self._objective_names, objective),
        }
        if ranker.has_ratings:
            scale = ranker.scale
            ratings = tf.clip_by_value(scale.mean + scale.deviation * outputs["ratings"], scale.lowest, scale.highest)
            results["ratings"] = tf.where(present, ratings, 0.0)
        return results

    def _probabilities(self, outputs: dict[str, tf.Tensor], interest: tf.Tensor) -> tf.Tensor:
        """[batch, num_candidates, num_outcomes] float32: P(liked), then of each type."""
        calibrations = (self._trained.calibration, *self._trained.types)
        logits = [outputs["positive_logits"], *tf.unstack(outputs["type_logits"], axis=-1)]
        pairs = zip(calibrations, logits, strict=True)
        return tf.stack([_calibrated(fitted, column, interest) for fitted, column in pairs], -1)

    def _objective(self, asked: tf.Tensor) -> tf.Tensor:
        """[batch] string → [batch] int32 places in the objectives' names; "": the default one."""
        is_asked = asked[:, None] == self._objective_names
        known = ", ".join(self._trained.ranker.objectives.names)
        tf.debugging.assert_equal(
            tf.reduce_all((asked == "") | tf.reduce_any(is_asked, axis=1)), True, f"`objective` is one of {known}."
        )
        return tf.argmax(is_asked, axis=1, output_type=tf.int32)

    def _values(self, objective: tf.Tensor, rows: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        """[batch, num_candidates] float32, as `Objectives.values`."""
        rows = tf.minimum(rows, tf.shape(self._worth)[1] - 1)
        places = tf.stack([tf.broadcast_to(objective[:, None], tf.shape(rows)), rows], -1)
        worth = tf.gather_nd(self._worth, places)
        return tf.reduce_sum(worth[..., :-1] * probabilities, -1) + worth[..., -1]

    def _recent(self, request: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The newest events that are known, newest first, as the ranker is trained with them."""
        config = self._trained.ranker.config
        rows = self._reader.items.lookup(request["history"])
        events, num_events = self._reader.last_events(rows, request, max(config.max_events, config.max_rated_events))
        # The padding stays behind.
        places = tf.range(tf.shape(events["item"])[1])[None]
        places = tf.where(places < num_events[:, None], num_events[:, None] - 1 - places, places)
        names = {"item": "recent_items", "timestamp": "recent_timestamps"}
        names |= {name: f"{RECENT}{name.removeprefix(OF_EVENTS)}" for name in events if name.startswith(OF_EVENTS)}
        recent = {names[name]: tf.gather(column, places, batch_dims=1) for name, column in events.items()}
        if self._trained.ranker.has_ratings:
            recent["recent_value"] = self._trained.ranker.scale.clipped(recent["recent_value"])
        return recent


def _calibrated(calibration: Calibration, logits: tf.Tensor, interest: tf.Tensor) -> tf.Tensor:
    """`Calibration.__call__` in the graph."""
    probabilities = tf.sigmoid(calibration.logits(logits, interest))
    if not calibration.knots:
        return probabilities
    beyond = tf.nn.relu(probabilities[..., None] - tf.constant(calibration.knots))
    return calibration.level + tf.linalg.matvec(beyond, tf.constant(calibration.bends))


def _at_least_one(texts: tf.Tensor) -> tf.Tensor:
    """[batch, num_texts, tokens] → the same, or for no texts an empty one."""
    is_missing = tf.cast(tf.shape(texts)[1] == 0, tf.int32)
    return tf.pad(texts, [[0, 0], [0, is_missing], [0, 0]])


def standardise(scores: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """`homefeed.models.ranking.training.blend.standardise` in the graph."""
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
        "objective": tf.TensorSpec([None], tf.string, name="objective"),
        **queries,
        **RequestFeatures.of(train).specs,
    }
