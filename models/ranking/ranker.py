"""The ranking model: a user's events, and what each candidate is to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from homefeed.models.catalogue import Catalogue
from homefeed.models.objectives import Objectives
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.ranking.layers.candidate_attention import CandidateAttention
from homefeed.models.ranking.layers.event_features import event_features, user_statistics
from homefeed.models.ranking.layers.feature_encoder import FeatureEncoder
from homefeed.models.ranking.layers.item_encoder import ItemEncoder
from homefeed.models.ranking.layers.pooling import lifted, masked_mean
from homefeed.models.ranking.ratings import fits as rating_fits
from homefeed.models.ranking.ratings.scale import RatingScale
from homefeed.models.ranking.ratings.taste import RatingTaste
from homefeed.models.sequences import Sequences
from homefeed.models.shared.feature_spec import bucket_edges, context_spec, event_spec, feature_spec
from homefeed.models.shared.half_precision import halved, rows_of
from homefeed.models.shared.local_time import LocalTime
from homefeed.models.shared.prediction_points import RECENT
from homefeed.models.shared.request_specs import OF_CONTEXT, OF_USERS
from homefeed.models.text.heads import MEMORIES, memories, memories_of
from homefeed.models.text.text_model import TextModel

_MAX_TABLE = 4_000  # Catalogue rows up to which all items are encoded at every step.
_NEW_ITEM_TOKENS = 64  # The longest text of an item that the catalogue lacks.

Tensors = Mapping[str, tf.Tensor]
Lookup = Callable[[tf.Tensor], tf.Tensor]


class Ranker(keras.Model):
    """Scores candidates for users.

    A candidate attends to the user's newest events. A taste in ratings is estimated from the ratings in the history;
    a deep and cross network (Wang et al., 2021, DCN V2) joins it all and ends in heads: the order of a list,
    P(liked), the rating, and P(type) of each event type that an objective asks for. Beside them what the text model
    makes of the candidate is compared with what it makes of the events, and of a query.

    Args:
        text: has read the items; it stays as it is.
        catalogue: the items.
        train: the training split, which says what there is to know of users.
        config: sizes.
    """

    def __init__(self, text: TextModel, catalogue: Catalogue, train: Sequences, config: Hyperparameters):
        super().__init__(name="ranker")
        self.text = text
        self.config = config
        self.scale = RatingScale.of(train)
        self.objectives = Objectives.of(train, catalogue)
        counts = np.bincount(train.item_index, minlength=catalogue.num_rows).astype(np.float32)
        counts[0] = 0  # Of what the catalogue lacks, nothing is known.
        self.item_counts = tf.Variable(counts, trainable=False)
        width = config.width
        self.items = ItemEncoder(catalogue, text.width, width, config.id_dropout, name="items")
        self.items.build()
        self.items.set_texts(text.items)
        spec = feature_spec(train.categorical, train.numeric, train.vocabularies, bucket_edges)
        self._users = FeatureEncoder(spec, width, name="users") if spec.names else None
        # Values are read as ratings.
        of_events = event_spec(train, bucket_edges).without("value")
        self._event_features = FeatureEncoder(of_events, width, name="event_features") if of_events.names else None
        context = context_spec(train, bucket_edges)
        self._context = FeatureEncoder(context, width, name="context") if context.names else None
        self._local_time = LocalTime(train.time_zone) if train.time_zone else None
        self._event = keras.layers.Dense(width, name="event")
        self._recency = self.add_weight(name="recency_embedding", shape=(config.max_events,), initializer="zeros")
        self._look_at_events = CandidateAttention(width, config.num_heads, name="look_at_events")
        self.has_queries = train.query_token_ids is not None
        if self.has_ratings:
            self._user_design = rating_fits.FeatureDesign(train.categorical, train.numeric, train.vocabularies)
            fits = rating_fits.fit(
                catalogue,
                train,
                self._user_design,
                num_factors=config.num_factors,
                iterations=config.rating_iterations,
                max_users=config.max_rated_users,
                seed=config.seed,
            )
            self._taste = RatingTaste(fits)
        # P(positive) starts as the probability that the rating is above what divides liked from not liked.
        self._slopes = self.add_weight(name="slopes", shape=(2,), initializer="ones")
        self._threshold = self.add_weight(
            name="threshold", shape=(), initializer=keras.initializers.Constant(self.scale.middle)
        )
        self._dropout = keras.layers.Dropout(config.dropout, seed=config.seed)
        self._narrow = keras.layers.Dense(width, use_bias=False, name="narrow")
        self._cross = keras.layers.Dense(
            4 * width + 4 + 2 * self.has_ratings, name="cross", kernel_initializer="zeros"
        )
        self._hidden = keras.layers.Dense(width, activation="gelu", name="hidden")
        self._heads = keras.layers.Dense(3, name="heads", kernel_initializer="zeros")
        types = len(self.objectives.types)
        self._types = keras.layers.Dense(types, name="types", kernel_initializer="zeros") if types else None
        self.frozen: tf.Variable | None = None
        self._projected: tf.Variable | None = None

    @property
    def has_ratings(self) -> bool:
        """Whether the data's events have values."""
        return self.scale.has_ratings

    def build(self, _: Any) -> None:
        """Nothing: each layer is built where it is first used."""
        self.built = True

    def call(self, request: Tensors, training: bool = False) -> dict[str, tf.Tensor]:
        """Scores.

        Args:
            request: as `prediction_points.features` gives it, `candidates` [batch, num_candidates] int32
                rows, and perhaps `candidate_token_ids` [batch, num_candidates or 1, tokens] int32, the text of
                candidates whose row is 0.
            training: whether dropout acts.

        Returns:
            [batch, num_candidates] float32 `list_logits`, of the order of a list; `text_logits`, the affinity of
            texts; `positive_logits`; and `ratings` (standard deviations from the mean), where the data has values.
            [batch, num_candidates, num_types] `type_logits` of the objectives' event types.
        """
        items = self._lookup(request, training)
        candidates, offered = items(request["candidates"]), self._offered(request["candidates"])
        if "candidate_token_ids" in request:
            candidates, offered = self._with_new_items(request, candidates, offered)
        events = self._look_at_events((candidates, *self._events(request, items)))
        parts = [candidates, events, candidates * events]
        parts.append(self._user(request, candidates))
        statistics = user_statistics(request)[:, None, :]
        parts.append(tf.tile(statistics, [1, tf.shape(candidates)[1], 1]))
        if self.has_ratings:
            rating, deviation = self._estimate(request)
            parts += [rating[..., None], deviation[..., None]]
        joined = self._dropout(tf.concat(parts, axis=-1), training=training)
        crossed = joined + joined * self._cross(self._narrow(joined))
        hidden = self._dropout(self._hidden(crossed), training=training)
        logits = self._heads(hidden)
        outputs = {
            "list_logits": logits[..., 0] + tf.reduce_sum(candidates * events, axis=-1),
            "positive_logits": logits[..., 1],
            "type_logits": self._types(hidden) if self._types else logits[..., 3:],
        }
        known = self.items.are_known(request["candidates"])
        given = tf.cast((request["candidates"] > 0) | _is_new(request), tf.float32)
        outputs["list_logits"] = lifted(outputs["list_logits"], known, given)
        outputs["text_logits"] = self._affinity_on_a_par(request, offered)
        if self.has_ratings:
            outputs["ratings"] = rating + logits[..., 2]
            above = rating - self._threshold.value
            outputs["positive_logits"] += self._slopes.value[0] * above / deviation + self._slopes.value[1] * above
        return outputs

    @property
    def constants(self) -> list[tf.Variable]:
        """Variables that Keras does not know of, for whoever saves the model."""
        return [self.item_counts, *self.text.variables, *(self._taste.constants if self.has_ratings else [])]

    def freeze(self) -> None:
        """Encodes the catalogue for good, and drops what only training needs: the model is about to be exported."""
        if self.has_ratings:
            self._taste.keep_serving_fit()
        encoded = self.items(tf.range(self.items.num_rows)).numpy()
        self.frozen = tf.Variable(halved(encoded), trainable=False)
        readings = self.items.texts(tf.range(self.items.num_rows))
        heads = self.text.heads
        projected = [heads.offered(readings), *heads.events(readings).values()]
        self._projected = tf.Variable(tf.concat(projected, axis=1), trainable=False)

    def _with_new_items(
        self, request: Tensors, candidates: tf.Tensor, offered: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Vectors of candidates and what their texts offer; of those that the catalogue lacks, by the text they
        bring."""
        given = request["candidate_token_ids"][..., :_NEW_ITEM_TOKENS]
        token_ids = tf.broadcast_to(given, tf.concat([tf.shape(request["candidates"]), tf.shape(given)[-1:]], 0))
        is_new = _is_new(request)

        def read() -> tuple[tf.Tensor, tf.Tensor]:
            places, texts = tf.where(is_new), self.text.read(tf.boolean_mask(token_ids, is_new))
            return (
                tf.tensor_scatter_nd_update(candidates, places, self.items.of_text(texts)),
                tf.tensor_scatter_nd_update(offered, places, self.text.heads.offered(texts)),
            )

        return tf.cond(tf.reduce_any(is_new), read, lambda: (candidates, offered))

    def _affinity_on_a_par(self, request: Tensors, offered: tf.Tensor) -> tf.Tensor:
        """Affinity; a candidate that says nothing of itself gets the mean of the others."""
        affinity = tf.linalg.matvec(offered, self._wanted(request))
        speaks = tf.cast(tf.reduce_any(offered != 0, axis=-1), tf.float32)
        return affinity + (1.0 - speaks) * masked_mean(affinity, speaks)

    def _lookup(self, request: Tensors, training: bool) -> Lookup:
        if self.frozen is None and self.items.num_rows > _MAX_TABLE:
            return self._mentioned(request, training)
        # A small catalogue is encoded whole, once a step, for all that mention an item.
        table = self.frozen
        if table is None:
            table = self.items(tf.range(self.items.num_rows), training=training)
        return lambda rows: rows_of(table, rows)

    def _mentioned(self, request: Tensors, training: bool) -> Lookup:
        """Of what a batch mentions: each item is encoded once, and is the same wherever it stands."""
        mentions = request["candidates"], request["recent_items"][:, : self.config.max_events]
        distinct, _ = tf.unique(tf.concat([tf.reshape(rows, [-1]) for rows in mentions], axis=0))
        place_of = tf.scatter_nd(distinct[:, None], tf.range(tf.size(distinct)), [self.items.num_rows])
        table = self.items(distinct, training=training)
        return lambda rows: tf.gather(table, tf.gather(place_of, rows))

    def affinity(self, request: Tensors, texts: tf.Tensor) -> tf.Tensor:
        """How well texts suit a request.

        Args:
            request: `recent_items` and, where the data has queries, `query_token_ids`.
            texts: [batch, num_candidates, width of the text model] float32.

        Returns:
            [batch, num_candidates] float32.
        """
        return tf.linalg.matvec(self.text.heads.offered(texts), self._wanted(request))

    def _offered(self, rows: tf.Tensor) -> tf.Tensor:
        """[...] rows → [..., size]: what the items' texts offer."""
        heads = self.text.heads
        if self._projected is None:
            return heads.offered(self.items.texts(rows))
        return tf.gather(self._projected, rows)[..., : heads.size]

    def _wanted(self, request: Tensors) -> tf.Tensor:
        """[batch, size]: what the texts of events, and a query, make one want."""
        rows = request["recent_items"][:, : self.config.max_events]
        known, heads = tf.cast(rows > 0, tf.float32), self.text.heads
        if self._projected is None:
            wanted = heads.wanted_in(memories(self.items.texts(rows), known))
        else:
            projected, size = tf.gather(self._projected, rows), heads.size
            events = {
                name: projected[..., place * size : (place + 1) * size] for place, name in enumerate(MEMORIES, 1)
            }
            wanted = tf.add_n(list(memories_of(events, known).values()))
        if self.has_queries:
            wanted += self.text.asked(request["query_token_ids"])
        return wanted

    def _events(self, request: Tensors, items: Lookup) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        rows = request["recent_items"][:, : self.config.max_events]
        num_events = tf.shape(rows)[1]
        vectors = items(rows)
        extras = [vectors]
        if self.has_ratings:
            values = request["recent_value"][:, :num_events]
            known, value = tf.cast(tf.math.is_finite(values), tf.float32), self.scale.standardised(values)
            extras += [value[..., None], known[..., None], vectors * value[..., None]]
        if self._event_features is not None:
            names = self._event_features.spec.names
            extras.append(self._event_features({n: request[f"{RECENT}{n}"][:, :num_events, None] for n in names}))
        extras.append(event_features(request, self.config.max_events))
        bias = tf.tile(self._recency.value[None, :num_events], [tf.shape(rows)[0], 1])
        memory = vectors + self._event(tf.concat(extras, axis=-1))
        return memory, rows > 0, bias

    def _user(self, request: Tensors, candidates: tf.Tensor) -> tf.Tensor:
        """[batch, num_candidates, width]: each candidate beside who asks, and in which context."""
        asks = tf.zeros([tf.shape(candidates)[0], self.config.width])
        if self._users is not None:
            asks += self._users({name.removeprefix(OF_USERS): value for name, value in request.items()})
        if self._context is not None:
            features = {} if self._local_time is None else self._local_time(request["timestamp"])
            features |= {n: request[f"{OF_CONTEXT}{n}"] for n in self._context.spec.names if n not in features}
            asks += self._context({name: column[:, None] for name, column in features.items()})
        return candidates * asks[:, None, :]

    def _estimate(self, request: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        """[batch, num_candidates] expected ratings and their deviations, in deviations of all ratings."""
        rows = request["recent_items"][:, : self.config.max_rated_events]
        ratings = request["recent_value"][:, : self.config.max_rated_events]
        fit = request.get("fit", tf.zeros_like(rows[:, 0]))
        user = self._user_design.in_graph({name.removeprefix("user_"): value for name, value in request.items()}, fit)
        mean, deviation = self._taste(fit, rows, ratings, user, request["candidates"])
        return (mean - self.scale.mean) / self.scale.deviation, deviation / self.scale.deviation


def _is_new(request: Tensors) -> tf.Tensor:
    """[batch, num_candidates] bool: outside the catalogue, but with a text."""
    if "candidate_token_ids" not in request:
        return tf.zeros_like(request["candidates"], tf.bool)
    has_text = tf.reduce_any(request["candidate_token_ids"] > 0, axis=-1)
    return has_text & (request["candidates"] == 0)
