"""The retrieval model as it is served: from ids and features to ranked items, in stock TensorFlow ops."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from models import catalogue as catalogues
from models import sequences as sequence_module
from models.request_specs import request_specs
from models.retrieval import exact_index, linear_factors, string_table, training

Tensors = Mapping[str, tf.Tensor]


class Retriever(tf.Module):
    """Holds a trained query tower, the embedded catalogue and the tables that turn strings into rows.

    Args:
        trained: the models.
        catalogue: what can be retrieved.
        train: tells which request features the model knows, and their vocabularies.
    """

    def __init__(
        self,
        trained: training.Trained,
        catalogue: catalogues.Catalogue,
        train: sequence_module.Sequences,
    ):
        super().__init__(name="retriever")
        towers = trained.towers
        self._query_tower = towers.query_tower
        self._embed_queries = towers.embed_queries
        self._width = towers.query_tower.width
        self._max_events = towers.max_events
        self._max_linear_events = trained.max_linear_events
        self._long_term = trained.linear.long_term
        self._linear_encode = tf.Variable(trained.linear.encode, trainable=False, name="linear_encode")
        self._index = exact_index.ExactIndex(np.concatenate([trained.candidates, trained.linear.decode], axis=1))
        self._item_ids = tf.Variable(catalogue.item_ids.astype(bytes), trainable=False, name="item_ids")
        self._titles = tf.Variable(catalogue.titles.astype(bytes), trainable=False, name="titles")
        self._item_rows = string_table.StringTable(list(catalogue.item_ids[1:]), first=1)
        self._event_types = string_table.vocabulary_table(train.vocabularies.get("event_type", ()))
        self._user_tables = {
            name: string_table.vocabulary_table(train.vocabularies[name]) for name in train.categorical
        }
        self._specs = request_specs(train)

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """`retrieve`, also under TensorFlow Serving's default name, `embed_query` and `similar_items`."""
        k = tf.TensorSpec([None], tf.int32, name="k")
        item_ids = tf.TensorSpec([None], tf.string, name="item_ids")
        retrieve = tf.function(self.retrieve).get_concrete_function(**self._specs, k=k)
        return {
            "serving_default": retrieve,
            "retrieve": retrieve,
            "embed_query": tf.function(self.embed_query).get_concrete_function(**self._specs),
            "similar_items": tf.function(self.similar_items).get_concrete_function(item_ids=item_ids, k=k),
        }

    def retrieve(self, k: tf.Tensor, **request: tf.Tensor) -> dict[str, tf.Tensor]:
        """The best items that are not in the history: `item_ids`, `titles`, `scores` [batch, k]."""
        rows = self._item_rows.lookup(request["history"])
        queries = self._embed(rows, request)
        scores, found = self._index.search(queries, rows, _largest(k))
        return self._describe(scores, found)

    def embed_query(self, **request: tf.Tensor) -> dict[str, tf.Tensor]:
        """`embedding` [batch, size] float32, to be multiplied with candidate embeddings."""
        return {"embedding": self._embed(self._item_rows.lookup(request["history"]), request)}

    def similar_items(self, item_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The nearest items by the angle between embeddings; none for an unknown id."""
        rows = self._item_rows.lookup(item_ids)
        vectors = tf.math.l2_normalize(self._index.embeddings[:, : self._width], axis=1)
        scores = tf.gather(vectors, rows) @ tf.transpose(vectors)
        scores = tf.where(rows[:, None] > 0, scores, exact_index.EXCLUDED)
        return self._describe(*exact_index.best_rows(exact_index.exclude(scores, rows[:, None]), _largest(k)))

    def _describe(self, scores: tf.Tensor, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "item_ids": tf.gather(self._item_ids, rows),
            "titles": tf.gather(self._titles, rows),
            "scores": scores,
        }

    def _embed(self, rows: tf.Tensor, request: Tensors) -> tf.Tensor:
        """[batch, size] query embeddings after the last known event of each history."""
        places, num_events = last_places(rows > 0, self._max_events)
        inside = tf.sequence_mask(num_events, tf.shape(places)[1])
        events = {"item": rows, "timestamp": request["history_timestamp"]}
        if "history_event_type" in request:
            events["event_type"] = self._event_types.lookup(request["history_event_type"])
        else:
            events["event_type"] = tf.zeros_like(rows)
        events["value"] = request.get("history_value", tf.fill(tf.shape(rows), np.float32(np.nan)))
        batch = {name: tf.gather(column, places, batch_dims=1) for name, column in events.items()}
        batch["item"] = tf.where(inside, batch["item"], 0)
        batch |= {f"user_{name}": column for name, column in self._user_features(request).items()}
        embedding = tf.gather(self._index.embeddings, batch["item"])[..., : self._width]
        towers = tf.gather(self._embed_queries(batch, embedding), num_events, batch_dims=1)
        return tf.concat([towers, self._embed_linear(rows)], axis=1)

    def _embed_linear(self, rows: tf.Tensor) -> tf.Tensor:
        """[batch, rank] weighted sums over the last known events."""
        places, num_events = last_places(rows > 0, self._max_linear_events)
        age = num_events[:, None] - 1 - tf.range(tf.shape(places)[1])[None, :]
        weights = tf.exp(-tf.cast(age, tf.float32) / linear_factors.RECENCY_EVENTS)
        weights = tf.where(age >= 0, weights + self._long_term, 0.0)
        encoded = tf.gather(self._linear_encode, tf.gather(rows, places, batch_dims=1))
        return tf.einsum("be,ber->br", weights, encoded)

    def _user_features(self, request: Tensors) -> dict[str, tf.Tensor]:
        features = {}
        for name, column in request.items():
            if name.startswith("user_"):
                feature = name.removeprefix("user_")
                if len(column.shape) == 1:
                    column = column[:, None]
                if feature in self._user_tables:
                    column = self._user_tables[feature].lookup(column)
                features[feature] = column
        return features


def last_places(present: tf.Tensor, max_events: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Where the last events that are present stand.

    Args:
        present: [batch, num_places] bool.
        max_events: how many to keep.

    Returns:
        [batch, n] int32 places, in order, followed by arbitrary ones, where n ≥ 1 is the largest number kept
        in the batch, and [batch] int32 how many places count.
    """
    present = tf.pad(present, ((0, 0), (0, 1)))  # At least one place.
    order = tf.argsort(tf.cast(~present, tf.int32), axis=1, stable=True)
    total = tf.reduce_sum(tf.cast(present, tf.int32), axis=1)
    kept = tf.minimum(total, max_events)
    width = tf.maximum(tf.reduce_max(kept), 1)
    nth = (total - kept)[:, None] + tf.range(width)[None, :]
    last = tf.shape(present)[1] - 1
    return tf.gather(order, tf.minimum(nth, last), batch_dims=1), kept


def _largest(k: tf.Tensor) -> tf.Tensor:
    return tf.maximum(tf.reduce_max(k), 0)
