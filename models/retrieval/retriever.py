"""The retrieval model as it is served: from ids and features to ranked items, in stock TensorFlow ops."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from homefeed.models import catalogue as catalogues
from homefeed.models.behaviour_text import SPECIAL_TOKENS
from homefeed.models.retrieval.index import choice, exact_index, filters, text_match
from homefeed.models.retrieval.index.meaning import Meaning
from homefeed.models.retrieval.linear import linear_factors
from homefeed.models.retrieval.snapshot import Snapshot
from homefeed.models.retrieval.towers import two_tower
from homefeed.models.shared import item_vectors, saved_model
from homefeed.models.shared.gathering import gather_rows
from homefeed.models.shared.request_reader import RequestReader, Tensors, last_places
from homefeed.models.shared.request_specs import MAX_QUERY_TOKENS
from homefeed.models.shared.string_table import vocabulary_table
from homefeed.models.text.text_model import TextModel

# Scores and rows.
Found = tuple[tf.Tensor, ...]


class Retriever(tf.Module):
    """Holds a trained query tower, the embedded catalogue and the tables that turn strings into rows.

    Args:
        snapshot: the trained model.
        catalogue: what can be retrieved; its vocabularies begin with the snapshot's.
        text: finds what queries and new items mean; None: they are their words alone.
    """

    def __init__(self, snapshot: Snapshot, catalogue: catalogues.Catalogue, text: TextModel | None = None):
        super().__init__(name="retriever")
        facts = snapshot.facts
        self._config, self._spec = facts.config, facts.architecture.item_spec
        self._text_size = facts.architecture.text_size
        self._query_tower, tower = snapshot.towers()
        self._embed_new = tower.embed_new  # A bound method: the tower's table of ids is not saved with the model.
        self._content_weights = tower.content_weights
        embeddings, encode = snapshot.embed(tower, catalogue)
        self._long_term = snapshot.linear.long_term
        self._linear_encode = tf.Variable(encode, trainable=False, name="linear_encode")
        available_from = catalogue.available_from if len(catalogue.available_from) else None
        self.choice = choice.choose(
            facts.config.index, embeddings, available_from, snapshot.sample, facts.config.seed
        )
        self._index = self.choice.index
        norms = np.linalg.norm(embeddings[:, : facts.config.width], axis=1)
        self._norms = tf.Variable(np.maximum(norms, 1e-6), trainable=False, dtype=tf.float32, name="norms")
        self._vectors = catalogue.item_ids[1:], embeddings[1:, : facts.config.width]
        self._titles = tf.Variable(catalogue.titles.astype(bytes), trainable=False, name="titles")
        self._available_from = None
        if available_from is not None:
            self._available_from = tf.Variable(available_from, trainable=False, name="available_from")
        self._reader = RequestReader(catalogue.item_ids, facts.request)
        self._filters = filters.Filters(catalogue)
        self._text = text_match.TextMatch(catalogue.token_ids, _special_tokens(facts.wordpiece))
        self._meaning = None if text is None else Meaning(text, catalogue.text_vectors)
        self._item_tables = {
            name: vocabulary_table(facts.vocabularies[name][: size - 2])
            for name, size in self._spec.vocabulary_sizes.items()
        }
        self._is_shared = tf.Variable(snapshot.is_shared, trainable=False, name="is_shared")
        self._content_decode = tf.Variable(
            snapshot.content_maps.decode.astype(np.float32), trainable=False, name="content_decode"
        )
        self._cold_start_boost = facts.cold_start_boost
        self._specs = facts.request.specs
        self._widths = facts.widths
        self.vocabulary = tuple(facts.wordpiece)
        self._hot = facts.hot

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """`retrieve`, also under TensorFlow Serving's default name, and those named after the methods below."""
        k = tf.TensorSpec([None], tf.int32, name="k")
        item_ids = tf.TensorSpec([None], tf.string, name="item_ids")
        about_user = self._specs
        candidates = tf.TensorSpec([None, None], tf.string, name="candidates")
        asked = {
            "query_token_ids": tf.TensorSpec([None, None], tf.int32, name="query_token_ids"),
            **self._filters.specs,
        }
        retrieve = tf.function(self.retrieve).get_concrete_function(**about_user, **asked, k=k)
        return {
            "serving_default": retrieve,
            "retrieve": retrieve,
            "score": tf.function(self.score).get_concrete_function(**about_user, candidates=candidates),
            "embed_query": tf.function(self.embed_query).get_concrete_function(**about_user),
            "embed_candidate": tf.function(self.embed_candidate).get_concrete_function(**self._candidate_specs()),
            "similar_items": tf.function(self.similar_items).get_concrete_function(item_ids=item_ids, k=k),
        }

    def save(self, folder: pathlib.Path) -> None:
        """Writes the SavedModel; its vocabulary, `assets/vocab.txt`, items' vectors and `Blend` go with it."""
        saved_model.save(self, folder, self.vocabulary)
        item_vectors.write(folder, *self._vectors)
        self._hot.write(folder)

    def retrieve(self, k: tf.Tensor, **request: tf.Tensor) -> dict[str, tf.Tensor]:
        """The best items that are not in the history, and how they were found.

        Args:
            k: [batch] int32, of which the largest counts.
            request: as RequestFeatures and Filters say; `timestamp` [batch] int64, 0: unknown;
                `query_token_ids` [batch, n] int32, 0-padded.

        Returns:
            `item_ids`, `titles` [batch, k] string, `scores` [batch, k] float32, and `source` [batch] string.
        """
        request = self._reader.in_seconds(request)
        rows = self._reader.items.lookup(request["history"])
        queries = self._embed(rows, request)
        query = request["query_token_ids"][:, :MAX_QUERY_TOKENS]
        words, meant = self._text.read(query), self._meant(query)
        has_query = self._text.finds(words) | tf.reduce_any(meant != 0, axis=1)
        asked = [has_query, *(tf.reduce_any(request[name] != "", axis=1) for name in self._filters.specs)]
        asks = tf.reduce_any(tf.stack(asked), axis=0)
        everyone = {name: request[name] for name in ("timestamp", *self._filters.specs)}
        everyone |= {"queries": queries, "seen": rows, "words": words, "meant": meant}

        def search(of: Tensors = everyone) -> Found:
            return self._index.search(of["queries"], of["seen"], _largest(k), of["timestamp"])

        def search_all(of: Tensors = everyone) -> Found:
            return self._search_all(of, _largest(k))

        def search_both() -> Found:
            parts = [tf.where(asks)[:, 0], tf.where(~asks)[:, 0]]
            asking, others = ({name: tf.gather(column, part) for name, column in everyone.items()} for part in parts)
            order = tf.argsort(tf.concat(parts, axis=0))
            pairs = zip(search_all(asking), search(others), strict=True)
            return tuple(tf.gather(tf.concat(pair, axis=0), order) for pair in pairs)

        # A partition may hold nothing of what was asked for: those who ask for something search every item, and only
        # they, since who else is in the batch must make no difference.
        scores, found = tf.cond(
            tf.reduce_all(asks), search_all, lambda: tf.cond(tf.reduce_any(asks), search_both, search)
        )
        return self._describe(scores, found) | {"source": self._source(rows, has_query, request)}

    def score(self, candidates: tf.Tensor, **request: tf.Tensor) -> dict[str, tf.Tensor]:
        """What `retrieve` scores given candidates with, where nothing is asked for in words.

        Args:
            candidates: [batch, num_candidates] string ids.
            request: as RequestFeatures says.

        Returns:
            `scores` [batch, num_candidates] float32, the lowest one for an id that is not in the catalogue.
        """
        request = self._reader.in_seconds(request)
        queries = self._embed(self._reader.items.lookup(request["history"]), request)
        rows = self._reader.items.lookup(candidates)
        scores = tf.linalg.matvec(self._index.embed(rows), queries)
        return {"scores": tf.where(rows > 0, scores, exact_index.EXCLUDED)}

    def embed_query(self, **request: tf.Tensor) -> dict[str, tf.Tensor]:
        """`embedding` [batch, size] float32, to be multiplied with candidate embeddings."""
        request = self._reader.in_seconds(request)
        return {"embedding": self._embed(self._reader.items.lookup(request["history"]), request)}

    def embed_candidate(self, **item: tf.Tensor) -> dict[str, tf.Tensor]:
        """`embedding` [batch, size] float32 of items that are in no catalogue yet, by what they are.

        Args:
            item: `item_token_ids` [batch, n] int32, 0-padded, of the item's text; `item_<feature>`: categories
                [batch, n] string, a category [batch] string, a number [batch] or vector [batch, size] float32;
                "" or NaN where unknown.
        """
        tokens = item["item_token_ids"]
        size = self._is_shared.shape[0]
        tokens = tf.where((tokens < 0) | (tokens >= size), 0, tokens)
        features = {"tokens": tf.where(tf.gather(self._is_shared, tokens), tokens, 0)}
        features["text"] = self._text_vectors(item["item_token_ids"])
        for name in self._spec.names:
            column = item[f"item_{name}"]
            column = column[:, None] if len(column.shape) == 1 else column
            features[name] = self._item_tables[name].lookup(column) if name in self._item_tables else column
        embedding = self._embed_new(features)
        content = tf.concat([embedding[:, :-1], tf.ones_like(embedding[:, -1:])], axis=1)
        parts = [embedding[:, :-1], embedding[:, -1:] + self._cold_start_boost, content @ self._content_decode]
        return {"embedding": tf.concat(parts, axis=1)}

    def similar_items(self, item_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The nearest items by the angle between the towers' embeddings; none for an unknown id."""
        rows = self._reader.items.lookup(item_ids)
        width = self._config.width
        vectors = self._index.embed(rows)[:, :width] / gather_rows(self._norms, rows)[:, None]
        size = self._query_tower.width + 1 + self._linear_encode.shape[1]
        scores = self._index.scores(tf.pad(vectors, [[0, 0], [0, size - width]])) / self._norms
        scores = tf.where(rows[:, None] > 0, scores, exact_index.EXCLUDED)
        if self._available_from is not None:
            available = exact_index.is_available(self._available_from, tf.zeros([], tf.int64))
            scores = tf.where(available, scores, exact_index.EXCLUDED)
        return self._describe(*exact_index.best_rows(exact_index.exclude(scores, rows[:, None]), _largest(k)))

    def _search_all(self, of: Tensors, k: tf.Tensor) -> Found:
        """Scores every item, adds what the query says in words and means, and leaves out what the filters do."""

        def adjust(inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor, Tensors, tf.Tensor]) -> tf.Tensor:
            scores, words, meant, accepted, now = inputs
            shares = self._text.shares(words)
            meaning = tf.zeros_like(scores) if self._meaning is None else self._meaning.affinity(meant)
            scores += meaning + text_match.lift(shares, scores, meaning)
            accepts = self._filters.accepts(accepted)
            if accepts is not None:
                scores = tf.where(accepts, scores, exact_index.EXCLUDED)
            if self._available_from is not None:
                available = exact_index.is_available(self._available_from, now)
                scores = tf.where(available, scores, exact_index.EXCLUDED)
            return scores

        inputs = (
            self._index.scores(of["queries"]),
            of["words"],
            of["meant"],
            self._filters.read(of),
            of["timestamp"],
        )
        # One query at a time, because the texts of a large catalogue are larger than its scores.
        scores = tf.map_fn(adjust, inputs, fn_output_signature=tf.float32)
        return exact_index.best_rows(exact_index.exclude(scores, of["seen"]), k)

    def _meant(self, token_ids: tf.Tensor) -> tf.Tensor:
        """[batch, size] float32, what queries mean; 0 where nothing is asked, or nothing that was ever learnt."""
        if self._meaning is None:
            return tf.zeros([tf.shape(token_ids)[0], 1])
        return self._meaning.read(token_ids)

    def _text_vectors(self, token_ids: tf.Tensor) -> tf.Tensor:
        """[batch, size] float32 of items outside the catalogue."""
        if self._meaning is None:
            return tf.zeros([tf.shape(token_ids)[0], self._text_size])
        return self._meaning.of_item(token_ids)

    def _source(self, rows: tf.Tensor, has_query: tf.Tensor, request: Tensors) -> tf.Tensor:
        """[batch] string: what was known of who asks. A query is named beside it."""
        batch = tf.shape(rows)[0]
        has_features = tf.zeros([batch], tf.bool)
        for column in self._reader.user(request).values():
            known = column > 0 if column.dtype == tf.int32 else tf.math.is_finite(column)
            has_features |= tf.reduce_any(known, axis=1)
        base = tf.where(has_features, "features", "")
        base = tf.where(tf.reduce_any(rows > 0, axis=1), "history", base)
        with_query = tf.where(base == "", "query", tf.strings.join([base, tf.fill([batch], "+query")]))
        return tf.where(has_query, with_query, tf.where(base == "", "popular", base))

    def _describe(self, scores: tf.Tensor, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "item_ids": tf.gather(self._reader.items.strings, rows),
            "titles": tf.gather(self._titles, rows),
            "scores": scores,
        }

    def _embed(self, rows: tf.Tensor, request: Tensors) -> tf.Tensor:
        """[batch, size] query embeddings after the last known event of each history."""
        batch, num_events = self._reader.last_events(rows, request, self._config.max_events)
        batch |= {"now": request["timestamp"], **self._reader.context(request), **self._reader.user(request)}
        embedding = self._index.embed(batch["item"])[..., : self._config.width]
        states = two_tower.embed_queries(self._query_tower, batch, embedding)
        return tf.concat([tf.gather(states, num_events, batch_dims=1), self._embed_linear(rows)], axis=1)

    def _embed_linear(self, rows: tf.Tensor) -> tf.Tensor:
        """[batch, rank] weighted sums over the last known events."""
        rows = tf.pad(rows, ((0, 0), (0, 1)))  # A place that an empty history points to.
        places, num_events = last_places(rows > 0, self._config.max_linear_events)
        age = num_events[:, None] - 1 - tf.range(tf.shape(places)[1])[None, :]
        weights = tf.exp(-tf.cast(age, tf.float32) / linear_factors.RECENCY_EVENTS)
        weights = tf.where(age >= 0, weights + self._long_term, 0.0)
        encoded = tf.gather(self._linear_encode, tf.gather(rows, places, batch_dims=1))
        return tf.einsum("be,ber->br", weights, encoded)

    def _candidate_specs(self) -> dict[str, tf.TensorSpec]:
        specs = {"item_token_ids": tf.TensorSpec([None, None], tf.int32, "item_token_ids")}
        for name in self._spec.names:
            shape: list[int | None] = [None]
            if name in self._spec.sizes:
                shape = [None, self._spec.sizes[name]]
            elif self._widths.get(name, 1) > 1:
                shape = [None, None]
            dtype = tf.string if name in self._spec.vocabulary_sizes else tf.float32
            specs[f"item_{name}"] = tf.TensorSpec(shape, dtype, f"item_{name}")
        return specs


def _special_tokens(wordpiece: Sequence[str]) -> list[int]:
    return [token for token, name in enumerate(wordpiece) if name in SPECIAL_TOKENS]


def _largest(k: tf.Tensor) -> tf.Tensor:
    return tf.maximum(tf.reduce_max(k), 0)
