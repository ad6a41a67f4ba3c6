"""The candidate tower: an item's embedding from its id, words, features and what its text means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models import catalogue as catalogues
from homefeed.models.retrieval.towers import feature_encoder
from homefeed.models.shared.feature_spec import FeatureSpec


class CandidateTower(tf.keras.layers.Layer):
    """Id embedding plus declared features plus words and what they mean to the text model.

    An item that training never saw has no id: the others are what it is known by from the start.

    Args:
        num_trained: rows of the id table; rows of the catalogue are mapped to it by `id_rows`.
        spec: the item features.
        num_tokens: size of the vocabulary of the item text.
        text_size: of the text model's vectors; 0: there is no text model.
        width: size of the embeddings.
    """

    def __init__(
        self,
        num_trained: int,
        spec: FeatureSpec,
        num_tokens: int,
        text_size: int,
        width: int,
        **kwargs: object,
    ):
        super().__init__(**kwargs)
        self.num_trained = num_trained
        self.spec = spec
        self.num_tokens = num_tokens
        self.text_size = text_size
        self.width = width
        self._features = feature_encoder.FeatureEncoder(spec, width, name="features") if spec.names else None

    def build(self, _: object) -> None:
        """Makes the tables of ids, tokens and biases, and the projection of text vectors."""
        normal = tf.keras.initializers.RandomNormal(stddev=0.1)
        self.ids = self.add_weight(name="ids", shape=(self.num_trained + 1, self.width), initializer=normal)
        self.tokens = self.add_weight(name="tokens", shape=(self.num_tokens, self.width), initializer="zeros")
        self.text_kernel = self.add_weight(
            name="text_kernel", shape=(self.text_size, self.width), initializer="zeros"
        )
        self.id_bias = self.add_weight(name="id_bias", shape=(self.num_trained + 1,), initializer="zeros")
        self.bias_kernel = self.add_weight(name="bias_kernel", shape=(self.width, 2), initializer="zeros")
        self.new_bias = self.add_weight(name="new_bias", shape=(), initializer="zeros")
        super().build(_)

    def call(self, rows: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Embeds each item twice: as a known item and as a cold-start item.

        Args:
            rows: `id` [num_rows] int32 (0: an item without an id of its own), `tokens` [num_rows, item_tokens]
                int32, `text` [num_rows, text_size] float32, and every feature of the spec.

        Returns:
            Two times [num_rows, width + 1] float32, the last of which is the item's bias, its own popularity:
            as an item that is known, and as one in a cold start, by its features alone.
        """
        has_id = tf.cast(rows["id"] > 0, tf.float32)
        content = self._content(rows)
        embeddings = content + tf.gather(self.ids, rows["id"]) * has_id[:, None]
        known_bias = content @ self.bias_kernel[:, :1] + (tf.gather(self.id_bias, rows["id"]) * has_id)[:, None]
        return tf.concat([embeddings, known_bias], axis=1), self._with_bias(content)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_trained": self.num_trained,
            "spec": self.spec.to_config(),
            "num_tokens": self.num_tokens,
            "text_size": self.text_size,
            "width": self.width,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of `get_config`."""
        return cls(**{**config, "spec": FeatureSpec.from_config(config["spec"])})

    @property
    def content_weights(self) -> list[tf.Variable]:
        """What `embed_new` reads: all weights but those of ids."""
        of_features = [] if self._features is None else self._features.weights
        return [self.tokens, self.text_kernel, self.bias_kernel, self.new_bias, *of_features]

    def embed_new(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The second result of `call`, for items outside the catalogue: `tokens`, `text` and the spec's features."""
        return self._with_bias(self._content(features))

    def _content(self, rows: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """All but the id → [rows, width]."""
        content = feature_encoder.mean_embedding(self.tokens, rows["tokens"])
        content += tf.math.l2_normalize(rows["text"], axis=1) @ self.text_kernel
        if self._features is not None:
            content += self._features({name: rows[name] for name in self.spec.names})
        return content

    def _with_bias(self, content: tf.Tensor) -> tf.Tensor:
        """[rows, width] → [rows, width + 1], as of items in a cold start."""
        return tf.concat([content, content @ self.bias_kernel[:, 1:] + self.new_bias], axis=1)


def candidate_rows(catalogue: catalogues.Catalogue, spec: FeatureSpec) -> dict[str, npt.NDArray[Any]]:
    """The tower's inputs for every row of a catalogue; items seen in training have ids 1, 2, …"""
    trained = catalogue.train_counts > 0
    trained[0] = False
    numeric = [*spec.knots, *spec.sizes]
    return {
        "id": np.where(trained, np.cumsum(trained), 0).astype(np.int32),
        "tokens": shared_tokens(catalogue.token_ids, trained),
        "text": text_vectors(catalogue, catalogue.text_vectors.shape[1]),
        **{name: catalogue.categorical[name] for name in spec.vocabulary_sizes},
        **{name: catalogue.numeric[name] for name in numeric},
    }


def text_vectors(catalogue: catalogues.Catalogue, size: int) -> npt.NDArray[np.float32]:
    """[num_rows, size] float32 text vectors; 0 where no text model has read the catalogue."""
    known = catalogue.text_vectors
    return known if len(known) else np.zeros((catalogue.num_rows, size), np.float32)


MIN_TOKEN_ITEMS = 3


def shared_tokens(token_ids: npt.NDArray[Any], trained: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Blanks out tokens of fewer than MIN_TOKEN_ITEMS trained items: those tell nothing of other items."""
    return np.where(is_shared(token_ids, trained)[token_ids], token_ids, 0)


def is_shared(token_ids: npt.NDArray[Any], trained: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """[num_tokens] bool, the tokens of MIN_TOKEN_ITEMS trained items and more."""
    pairs = np.unique(np.stack([np.nonzero(token_ids)[0], token_ids[token_ids > 0]]), axis=1)
    pairs = pairs[:, trained[pairs[0]]]
    num_items = np.bincount(pairs[1], minlength=int(token_ids.max(initial=0)) + 1)
    shared: npt.NDArray[np.bool_] = num_items >= MIN_TOKEN_ITEMS
    return shared
