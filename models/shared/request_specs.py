"""The inputs of a signature that describe a request: one declaration for retrieval and ranking."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from homefeed.models.sequences import Sequences
from homefeed.schemas.features import Input

OF_EVENTS, OF_CONTEXT, OF_USERS = "history_", "context_", "user_"
"""What the names of inputs begin with, by what they describe."""
MAX_QUERY_TOKENS = 32
"""The longest query that is read; what follows is cut off."""
MAX_CANDIDATES = 2000
"""The longest list that is ranked: each of its items costs kilobytes."""


@dataclasses.dataclass(frozen=True)
class RequestFeatures:
    """What a request says of a user, in the user's history and about itself.

    Attributes:
        inputs: as in Sequences.
        vocabularies, event_vocabularies: as in Sequences.
    """

    inputs: Mapping[str, Input]
    vocabularies: Mapping[str, tuple[str, ...]]
    event_vocabularies: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, train: Sequences) -> RequestFeatures:
        """That of a model of this data."""
        return cls(train.inputs, train.vocabularies, train.event_vocabularies)

    @property
    def specs(self) -> dict[str, tf.TensorSpec]:
        """Input name → spec; a query is for each signature to ask for."""
        return {
            name: tf.TensorSpec([None if size < 0 else size for size in spec.shape], spec.dtype, name=name)
            for name, spec in self.inputs.items()
            if name != "query_token_ids"
        }
