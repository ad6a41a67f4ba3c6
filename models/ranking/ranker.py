"""The ranking model: a user's text and events, and what each candidate is to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from homefeed.models.behaviour_text.user_sequence import UserSequence
from homefeed.models.catalogue import Catalogue
from homefeed.models.ranking import attention, feature_encoder, item_encoder, text_affinity
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.ranking.ratings import fits as rating_fits
from homefeed.models.ranking.ratings import taste as rating_taste
from homefeed.models.sequences import Sequences

_MAX_TABLE = 20_000  # Catalogue rows up to which all items are encoded at every step.
_NEW_ITEM_TOKENS = 64  # The longest text of an item that the catalogue lacks.
_MEMORIES = {"last": 0.1, "lately": 3.0, "long": 20.0}  # Contexts: events after which an event's text counts 1/e.
_SECONDS = (60.0, 86_400.0, 2_592_000.0)  # A minute, a day, a month: scales of elapsed time.

Tensors = Mapping[str, tf.Tensor]
Lookup = Callable[[tf.Tensor], tf.Tensor]


class Ranker(keras.Model):
    """Scores candidates for users.

    A candidate attends to the user's newest events, and meets the user's text in one of two ways: under `late`
    BERT reads the user once and each candidate attends to that reading; under `cross` BERT reads each candidate's
    text together with the user's. A taste in ratings is estimated from the ratings in the history; a deep and cross
    network (Wang et al., 2021, DCN V2) joins it all and ends in three heads. Beside them the candidate's text is
    compared with those of the events, and with a query (`TextAffinity`).

    Args:
        bert: a `BertBackbone`.
        text: assembles what BERT reads of a user.
        catalogue: the items.
        train: the training split, which says what there is to know of users.
        config: sizes.
    """

    def __init__(
        self, bert: Any, text: UserSequence, catalogue: Catalogue, train: Sequences, config: Hyperparameters
    ):
        super().__init__(name="ranker")
        self.bert = bert
        self.text = text
        self.config = config
        self.rating_mean, self.rating_deviation, self.rating_range = _ratings(train)
        known = {"history_value": self.has_ratings, "history_event_type": train.vocabularies.get("event_type")}
        self._unused = {name for name, what in known.items() if not what}
        width = config.width
        self.items = item_encoder.ItemEncoder(catalogue, bert.hidden_dim, width, config.id_dropout, name="items")
        self.items.build()
        self._users = feature_encoder.encoder_of(train.categorical, train.numeric, train.vocabularies, width, "users")
        self._event_types = self.add_weight(
            name="event_type_embedding",
            shape=(len(train.vocabularies.get("event_type", ())) + 2, width),
            initializer="zeros",
        )
        self._event = keras.layers.Dense(width, name="event")
        self._recency = self.add_weight(name="recency_embedding", shape=(config.num_events,), initializer="zeros")
        self._look_at_events = attention.CandidateAttention(width, config.num_heads, name="look_at_events")
        if config.interaction == "cross":
            self._pair = keras.layers.Dense(width, name="pair")
        else:
            self._look_at_words = attention.CandidateAttention(width, config.num_heads, name="look_at_words")
        # Shut at first: BERT joins a model that already ranks well.
        self._words_gate = self.add_weight(name="words_gate", shape=(width,), initializer="zeros")
        self.has_queries = train.query_token_ids is not None
        contexts = [*_MEMORIES, *(["query"] if self.has_queries else [])]
        self.text_affinity = text_affinity.TextAffinity(contexts, bert.hidden_dim, name="text_affinity")
        if self.has_ratings:
            self._user_design = rating_fits.FeatureDesign(train.categorical, train.numeric, train.vocabularies)
            fits = rating_fits.fit(
                catalogue,
                train,
                self._user_design,
                num_factors=config.num_factors,
                iterations=config.rating_iterations,
                seed=config.seed,
            )
            self._taste = rating_taste.RatingTaste(fits)
        # P(positive) starts as the probability that the rating is above what divides liked from not liked.
        self._slopes = self.add_weight(name="slopes", shape=(2,), initializer="ones")
        self._threshold = self.add_weight(
            name="threshold", shape=(), initializer=keras.initializers.Constant(self._middle(train))
        )
        self._dropout = keras.layers.Dropout(config.dropout, seed=config.seed)
        self._narrow = keras.layers.Dense(width, use_bias=False, name="narrow")
        self._cross = keras.layers.Dense(
            6 * width + 4 + 2 * self.has_ratings, name="cross", kernel_initializer="zeros"
        )
        self._hidden = keras.layers.Dense(width, activation="gelu", name="hidden")
        self._heads = keras.layers.Dense(3, name="heads", kernel_initializer="zeros")
        self.frozen: tf.Variable | None = None
        self._read_texts: Any = None

    @property
    def has_ratings(self) -> bool:
        """Whether the data's events have values."""
        return self.rating_deviation > 0

    def build(self, _: Any) -> None:
        """Nothing: each layer is built where it is first used."""
        self.built = True

    def call(self, request: Tensors, with_text: bool = True, training: bool = False) -> dict[str, tf.Tensor]:
        """Scores.

        Args:
            request: as `requests.features` gives it, `candidates` [batch, num_candidates] int32
                rows, and perhaps `candidate_token_ids` [batch, num_candidates or 1, tokens] int32, the text of
                candidates whose row is 0.
            with_text: whether BERT is asked.
            training: whether dropout acts.

        Returns:
            [batch, num_candidates] float32 `list_logits`, of the order of a list; `text_logits`, the affinity of
            texts; `positive_logits`; and `ratings` (standard deviations from the mean), where the data has values.
        """
        request = {name: tensor for name, tensor in request.items() if name not in self._unused}
        items = self._lookup(training)
        texts = self._texts(request)
        candidates = items(request["candidates"])
        if "candidate_token_ids" in request:
            candidates = self._with_new_items(candidates, texts, _is_new(request))
        events = self._look_at_events((candidates, *self._events(request, items)))
        parts = [candidates, events, candidates * events]
        words = self._words(request, candidates, training) if with_text else tf.zeros_like(events)
        parts += [words, candidates * words, self._user(request, candidates)]
        parts += self._statistics(request)
        if self.has_ratings:
            rating, deviation = self._estimate(request)
            parts += [rating[..., None], deviation[..., None]]
        joined = self._dropout(tf.concat(parts, axis=-1), training=training)
        crossed = joined + joined * self._cross(self._narrow(joined))
        logits = self._heads(self._dropout(self._hidden(crossed), training=training))
        outputs = {
            "list_logits": logits[..., 0] + tf.reduce_sum(candidates * events, axis=-1),
            "positive_logits": logits[..., 1],
        }
        outputs["list_logits"] = self._level(outputs["list_logits"], request)
        outputs["text_logits"] = self._affinity_on_a_par(request, texts)
        if self.has_ratings:
            outputs["ratings"] = rating + logits[..., 2]
            above = rating - self._threshold.value
            outputs["positive_logits"] += self._slopes.value[0] * above / deviation + self._slopes.value[1] * above
        return outputs

    def _level(self, logits: tf.Tensor, request: Tensors) -> tf.Tensor:
        """Lifts the new items of a request, as a group, to the mean logit of the others.

        What nobody has had was never right in training, so that the ranker would put all of it last. How likely new
        items are at all is for retrieval to say, which has learnt it; the ranker says which of them.
        """
        known = self.items.are_known(request["candidates"])
        is_given = request["candidates"] > 0
        if "candidate_token_ids" in request:
            is_given |= _is_new(request)
        new = (1.0 - known) * tf.cast(is_given, tf.float32)
        return logits + (1.0 - known) * (_masked_mean(logits, known) - _masked_mean(logits, new))

    @property
    def listens(self) -> bool:
        """Whether what BERT says of the user changes any score: its gate starts shut and may have stayed so."""
        with tf.init_scope():  # A graph that is being traced asks too.
            return bool(np.any(self._words_gate.value.numpy()))

    @property
    def text_variables(self) -> list[Any]:
        """What training without text leaves as it was: the layers that listen to BERT."""
        listener = self._pair if self.config.interaction == "cross" else self._look_at_words
        return [self._words_gate, *listener.trainable_variables]

    @property
    def constants(self) -> list[tf.Variable]:
        """Variables that Keras does not know of, for whoever saves the model."""
        return self._taste.constants if self.has_ratings else []

    def freeze(self) -> None:
        """Encodes the catalogue for good, and drops what only training needs: the model is about to be exported."""
        if self.has_ratings:
            self._taste.keep_serving_fit()
        self.frozen = tf.Variable(self.items(tf.range(self.items.num_rows)), trainable=False)

    def read_items(self, batch_size: int = 256) -> None:
        """Runs BERT over the catalogue's texts, and keeps what it says."""
        if self._read_texts is None:
            self._read_texts = tf.function(self._read_item, reduce_retracing=True)
        table = self.text.tables.items
        parts = [
            self._read_texts(tf.constant(table[start : start + batch_size])).numpy()
            for start in range(0, len(table), batch_size)
        ]
        self.items.set_text_vectors(np.concatenate(parts))

    def _read_item(self, token_ids: tf.Tensor) -> tf.Tensor:
        """[num_items, tokens] int32 → [num_items, width of BERT]: [CLS] text [SEP], mean over tokens."""
        output, present = self._read(self.text.of_items(token_ids), training=False)
        return _mean(output, tf.cast(present, tf.float32))

    def _texts(self, request: Tensors) -> tf.Tensor:
        """[batch, num_candidates, width of BERT]: its readings of the candidates, new ones by the text they bring."""
        known = self.items.texts(request["candidates"])
        if "candidate_token_ids" not in request:
            return known
        longest = min(_NEW_ITEM_TOKENS, self.bert.max_sequence_length - 2)
        given = request["candidate_token_ids"][..., :longest]
        token_ids = tf.broadcast_to(given, tf.concat([tf.shape(request["candidates"]), tf.shape(given)[-1:]], 0))
        is_new = _is_new(request)

        def read() -> tf.Tensor:
            texts = self.items.standardise(self._read_item(tf.boolean_mask(token_ids, is_new)))
            return tf.tensor_scatter_nd_update(known, tf.where(is_new), texts)

        return tf.cond(tf.reduce_any(is_new), read, lambda: known)

    def _with_new_items(self, candidates: tf.Tensor, texts: tf.Tensor, is_new: tf.Tensor) -> tf.Tensor:
        """Candidates that the catalogue lacks, by their text."""

        def read() -> tf.Tensor:
            vectors = self.items.of_text(tf.boolean_mask(texts, is_new))
            return tf.tensor_scatter_nd_update(candidates, tf.where(is_new), vectors)

        return tf.cond(tf.reduce_any(is_new), read, lambda: candidates)

    def _affinity_on_a_par(self, request: Tensors, texts: tf.Tensor) -> tf.Tensor:
        """Affinity; a candidate that says nothing of itself gets the mean of the others."""
        affinity = self.affinity(request, texts)
        speaks = tf.cast(tf.reduce_any(texts != 0, axis=-1), tf.float32)
        return affinity + (1.0 - speaks) * _masked_mean(affinity, speaks)

    def _lookup(self, training: bool) -> Lookup:
        if self.frozen is None and self.items.num_rows > _MAX_TABLE:
            return lambda rows: self.items(rows, training=training)
        # A small catalogue is encoded whole, once a step: cheaper than each mention of an item by itself.
        table = self.frozen
        if table is None:
            table = self.items(tf.range(self.items.num_rows), training=training)
        return lambda rows: tf.gather(table, rows)

    def _read(
        self, tokens: tf.Tensor, training: bool, segments: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        present = tokens > 0
        inputs = {
            "token_ids": tokens,
            "segment_ids": tf.zeros_like(tokens) if segments is None else segments,
            "padding_mask": tf.cast(present, tf.int32),
        }
        return self.bert(inputs, training=training)["sequence_output"], present

    def _words(self, request: Tensors, candidates: tf.Tensor, training: bool) -> tf.Tensor:
        """[batch, num_candidates, width]: what BERT says of each candidate for this user."""
        user = self.text(request)
        if self.config.interaction == "late":
            output, present = self._read(user, training)
            return self._words_gate.value * self._look_at_words((candidates, output, present, None))
        shape = tf.shape(request["candidates"])
        pairs, segments = self.text.pairs(self._candidate_tokens(request), user)
        output, _ = self._read(pairs, training, segments)
        return self._words_gate.value * tf.reshape(self._pair(output[:, 0]), [shape[0], shape[1], self.config.width])

    def _candidate_tokens(self, request: Tensors) -> tf.Tensor:
        """[batch, num_candidates, tokens] int32."""
        known = tf.gather(tf.constant(self.text.tables.items), request["candidates"])
        if "candidate_token_ids" not in request:
            return known
        width = known.shape[-1]
        given = tf.pad(request["candidate_token_ids"], ((0, 0), (0, 0), (0, width)))[..., :width]
        return tf.where(request["candidates"][..., None] > 0, known, given)

    def affinity(self, request: Tensors, texts: tf.Tensor, training: bool = False) -> tf.Tensor:
        """How well texts suit a request.

        Args:
            request: `history` and, where the data has queries, `query_token_ids`.
            texts: [batch or 1, num_candidates, width of BERT] float32.
            training: whether dropout acts.

        Returns:
            [batch, num_candidates] float32.
        """
        rows = request["history"][:, : self.config.num_events]
        known = tf.cast(rows > 0, tf.float32)
        age = tf.cumsum(known, axis=1) - 1
        events = self.items.texts(rows)
        contexts = {name: _mean(events, tf.exp(-age / length) * known) for name, length in _MEMORIES.items()}
        if self.has_queries:
            tokens = request["query_token_ids"]
            words = tf.gather(self.bert.token_embedding.embeddings.value, tokens)
            words = _mean(words, tf.cast(tokens > 0, tf.float32))
            contexts["query"] = tf.math.l2_normalize(words, axis=-1) * np.sqrt(self.bert.hidden_dim)
        return self.text_affinity((contexts, texts), training=training)

    def _events(self, request: Tensors, items: Lookup) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        rows = request["history"][:, : self.config.num_events]
        num_events = tf.shape(rows)[1]
        vectors = items(rows)
        extras = [vectors]
        if "history_value" in request:
            value, known = self._standardised(request["history_value"][:, :num_events])
            extras += [value[..., None], known[..., None], vectors * value[..., None]]
        if "history_event_type" in request:
            extras.append(tf.gather(self._event_types.value, request["history_event_type"][:, :num_events]))
        elapsed = tf.cast(
            tf.maximum(request["timestamp"][:, None] - request["history_timestamp"][:, :num_events], 0), tf.float32
        )
        extras += [tf.math.log1p(elapsed / scale)[..., None] / 5 for scale in _SECONDS]
        recency = tf.range(num_events, dtype=tf.float32)[None, :, None]
        extras.append(tf.tile(tf.exp(-recency / [1.0, 5.0, 25.0]), [tf.shape(rows)[0], 1, 1]))
        bias = tf.tile(self._recency.value[None, :num_events], [tf.shape(rows)[0], 1])
        memory = vectors + self._event(tf.concat(extras, axis=-1))
        return memory, rows > 0, bias

    def _user(self, request: Tensors, candidates: tf.Tensor) -> tf.Tensor:
        if self._users.is_empty:
            return tf.zeros_like(candidates)
        user = self._users({name.removeprefix("user_"): value for name, value in request.items()})
        return candidates * user[:, None, :]

    def _statistics(self, request: Tensors) -> list[tf.Tensor]:
        """How much is known of the user, and how long ago the newest event was."""
        count = tf.math.log1p(tf.reduce_sum(tf.cast(request["history"] > 0, tf.float32), 1))
        gap = tf.cast(tf.maximum(request["timestamp"] - request["history_timestamp"][:, 0], 0), tf.float32)
        per_user = [count / 5, *(tf.math.log1p(gap / scale) / 5 for scale in _SECONDS)]
        shape = tf.shape(request["candidates"])
        return [tf.broadcast_to(value[:, None], shape)[..., None] for value in per_user]

    def _estimate(self, request: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        """[batch, num_candidates] expected ratings and their deviations, in deviations of all ratings."""
        rows = request["history"][:, : self.config.num_rated_events]
        ratings = request["history_value"][:, : self.config.num_rated_events]
        fit = request.get("fit", tf.zeros_like(rows[:, 0]))
        user = self._user_design.in_graph({name.removeprefix("user_"): value for name, value in request.items()}, fit)
        mean, deviation = self._taste(fit, rows, ratings, user, request["candidates"])
        return (mean - self.rating_mean) / self.rating_deviation, deviation / self.rating_deviation

    def _middle(self, train: Sequences) -> float:
        """Halfway between the mean ratings of what was liked and what was not, in standard deviations."""
        rated = np.isfinite(train.value)
        kinds = [train.value[rated & (train.positive == liked)] for liked in (False, True)]
        if not all(len(kind) for kind in kinds):
            return 0.0
        return float((np.mean([kind.mean() for kind in kinds]) - self.rating_mean) / self.rating_deviation)

    def _standardised(self, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        known = tf.math.is_finite(value)
        value = tf.where(known, (value - self.rating_mean) / max(self.rating_deviation, 1e-6), 0.0)
        return value, tf.cast(known, tf.float32)


def _mean(vectors: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """[batch, n, width] and [batch, n] → [batch, width]; 0 where all weights are."""
    total = tf.reduce_sum(weights, 1, keepdims=True)
    return tf.math.divide_no_nan(tf.linalg.matvec(vectors, weights, transpose_a=True), total)


def _is_new(request: Tensors) -> tf.Tensor:
    """[batch, num_candidates] bool: outside the catalogue, but with a text."""
    has_text = tf.reduce_any(request["candidate_token_ids"] > 0, axis=-1)
    return has_text & (request["candidates"] == 0)


def _masked_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """[batch, 1] means over the last axis where `mask` is 1; 0 where it never is."""
    return tf.math.divide_no_nan(
        tf.reduce_sum(values * mask, axis=-1, keepdims=True), tf.reduce_sum(mask, axis=-1, keepdims=True)
    )


def _ratings(train: Sequences) -> tuple[float, float, tuple[float, float]]:
    """Mean, standard deviation and range of the values of events; all 0 where there are none."""
    values = train.value[np.isfinite(train.value)]
    if not len(values):
        return 0.0, 0.0, (0.0, 0.0)
    return float(values.mean()), float(values.std()), (float(values.min()), float(values.max()))
