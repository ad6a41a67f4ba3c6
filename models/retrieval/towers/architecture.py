"""Sizes, vocabularies and knots of the towers: derived once from the training data, kept with the weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from homefeed.models import catalogue as catalogues
from homefeed.models import sequences as sequence_module
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.towers.candidate_tower import CandidateTower
from homefeed.models.retrieval.towers.query_tower import QueryTower
from homefeed.models.shared.feature_spec import FeatureSpec, context_spec, event_spec, feature_spec
from homefeed.models.shared.request_specs import OF_CONTEXT, OF_EVENTS


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Sizes, vocabularies' sizes and knots.

    Attributes:
        item_spec: the item features.
        user_spec: the user features.
        event_spec: the features of events.
        context_spec: those that a request has too, and what local time says of it.
        time_zone: of the users; "": not declared.
        num_tokens: size of the table of the items' tokens.
        text_size: of the text model's vectors; 0: there is none.
        num_trained: items with an id of their own.
    """

    item_spec: FeatureSpec
    user_spec: FeatureSpec
    event_spec: FeatureSpec
    context_spec: FeatureSpec
    time_zone: str
    num_tokens: int
    text_size: int
    num_trained: int

    @classmethod
    def of(cls, catalogue: catalogues.Catalogue, train: sequence_module.Sequences) -> Architecture:
        """That of a model of this data."""
        return cls(
            feature_spec(catalogue.categorical, catalogue.numeric, catalogue.vocabularies),
            feature_spec(train.categorical, train.numeric, train.vocabularies),
            event_spec=event_spec(train),
            context_spec=context_spec(train),
            time_zone=train.time_zone,
            num_tokens=int(catalogue.token_ids.max(initial=0)) + 1,
            text_size=catalogue.text_vectors.shape[1],
            num_trained=int(np.count_nonzero(catalogue.train_counts[1:])),
        )

    def query_tower(self, config: Hyperparameters) -> QueryTower:
        """An untrained query tower."""
        return QueryTower(
            config.width,
            config.num_layers,
            config.num_heads,
            config.max_events,
            config.dropout,
            self.user_spec,
            self.event_spec,
            self.context_spec,
            self.time_zone,
        )

    def candidate_tower(self, config: Hyperparameters) -> CandidateTower:
        """An untrained candidate tower."""
        return CandidateTower(
            num_trained=self.num_trained,
            spec=self.item_spec,
            num_tokens=self.num_tokens,
            text_size=self.text_size,
            width=config.width,
        )

    def build(self, query: QueryTower, candidate: CandidateTower) -> None:
        """Calls the towers once, on nothing: their weights exist from then on."""
        item = {
            "id": tf.zeros([1], tf.int32),
            "tokens": tf.zeros([1, 1], tf.int32),
            "text": tf.zeros([1, self.text_size]),
        }
        candidate(item | _nothing(self.item_spec))
        events: dict[str, Any] = {
            "embedding": tf.zeros([1, 1, query.width]),
            "timestamp": tf.zeros([1, 1], tf.int64),
            "item": tf.zeros([1, 1], tf.int32),
            "now": tf.zeros([1], tf.int64),
        }
        events |= {f"{OF_EVENTS}{name}": column for name, column in _nothing(self.event_spec).items()}
        events |= {f"{OF_CONTEXT}{name}": column[0] for name, column in _nothing(self.context_spec).items()}
        query(events, _nothing(self.user_spec))


def _nothing(spec: FeatureSpec) -> dict[str, tf.Tensor]:
    """One row of a spec's features, all unknown."""
    unknown: dict[str, tf.Tensor] = {name: tf.zeros([1, 1], tf.int32) for name in spec.vocabulary_sizes}
    sizes = dict.fromkeys(spec.knots, 1) | dict(spec.sizes)
    return unknown | {name: tf.fill([1, size], np.float32(np.nan)) for name, size in sizes.items()}
