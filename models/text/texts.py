"""Readings of everything that requests mention: items and queries."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.catalogue import Catalogue
from homefeed.models.text import reading
from homefeed.models.text.requests import Requests

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

MIN_ITEMS = 3


@dataclasses.dataclass(frozen=True)
class Texts:
    """Readings, standardised by the items'.

    Attributes:
        items: [num_rows, width] float32; 0 for an item without a text.
        queries: [num_queries, width] float32; row 0 is no query.
        scale: of raw readings.
    """

    items: Floats
    queries: Floats
    scale: reading.Scale

    @property
    def width(self) -> int:
        """Size of a reading."""
        return int(self.items.shape[1])

    def beside(self, other: Texts) -> Texts:
        """Two readings of the same, joined."""
        return Texts(
            np.concatenate([self.items, other.items], axis=1),
            np.concatenate([self.queries, other.queries], axis=1),
            reading.Scale(
                np.concatenate([self.scale.mean, other.scale.mean]),
                np.concatenate([self.scale.deviation, other.scale.deviation]),
            ),
        )

    def shuffled(self, seed: int) -> Texts:
        """Every item with another one's text: what is left of quality does not come from texts."""
        order = 1 + np.random.default_rng(seed).permutation(len(self.items) - 1)
        return dataclasses.replace(self, items=self.items[np.append(0, order)])


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Texts as BERT reads them, with ends.

    Row 0 of either, and an item without a text, has no token.

    Attributes:
        items: [num_rows, …] int32, 0-padded.
        queries: [num_queries, …] int32, 0-padded.
    """

    items: Ints
    queries: Ints

    @classmethod
    def of(cls, catalogue: Catalogue, queries: Ints, ends: reading.Ends) -> Tokens:
        """The texts of a catalogue, and queries, which have no ends yet."""
        return cls(*(ends(tf.constant(part)).numpy() for part in (catalogue.token_ids, queries)))

    def read(self, reader: Callable[[Ints], Floats]) -> Texts:
        """Readings on the scale of the items'."""
        return standardised(self, reader(self.items), reader(self.queries))


def standardised(tokens: Tokens, items: Floats, queries: Floats) -> Texts:
    """Raw readings on the scale of the items that say something, and 0 for what says nothing."""
    speaks, asks = ((part > 0).any(axis=1) for part in (tokens.items, tokens.queries))
    if not speaks.any():
        return Texts(np.zeros_like(items), np.zeros_like(queries), reading.Scale.of(items))
    scale = reading.Scale.of(items[speaks])
    return Texts(scale(items) * speaks[:, None], scale(queries) * asks[:, None], scale)


def shared_words(catalogue: Catalogue, requests: Requests, num_tokens: int) -> npt.NDArray[np.bool_]:
    """[num_tokens] bool: what the texts of at least MIN_ITEMS known items, or queries before their picks, hold.

    The others tell nothing of other items; read, they would be learnt by heart. Special tokens are always read.
    """
    known = np.flatnonzero(catalogue.train_counts > 0)
    mentions = (
        _mentions(known, catalogue.token_ids[known]),
        _mentions(requests.target, requests.query_token_ids),
    )
    item, token = (np.concatenate(parts) for parts in zip(*mentions, strict=True))
    pairs = np.unique(item.astype(np.int64) * num_tokens + token)
    counts = np.bincount(pairs % num_tokens, minlength=num_tokens)
    counts[: reading.NUM_SPECIAL] = MIN_ITEMS
    return counts >= MIN_ITEMS


def _mentions(item: npt.NDArray[Any], token_ids: Ints) -> tuple[npt.NDArray[Any], Ints]:
    row, place = np.nonzero(token_ids)
    return item[row], token_ids[row, place]


def bag_of_words(tokens: Tokens, rows: npt.NDArray[np.int64], num_tokens: int) -> Texts:
    """What any reading has to beat: which words a text holds.

    Each word that two known items share is a dimension; vectors have the length that BERT's have, the square root
    of their width.

    Args:
        tokens: the texts.
        rows: of known items.
        num_tokens: size of the vocabulary.
    """
    counts = [_indicators(part, num_tokens) for part in (tokens.items, tokens.queries)]
    shared = counts[0][rows].sum(axis=0) > 1
    items, queries = (_unit(part[:, shared]) for part in counts)
    width = items.shape[1]
    return Texts(items, queries, reading.Scale(np.zeros(width, np.float32), np.ones(width, np.float32)))


def _indicators(token_ids: Ints, num_tokens: int) -> Floats:
    found = np.zeros((len(token_ids), num_tokens), np.float32)
    row, place = np.nonzero(token_ids >= reading.NUM_SPECIAL)
    found[row, token_ids[row, place]] = 1
    return found


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.sqrt(np.float32(vectors.shape[1])) * vectors / np.maximum(length, np.float32(1e-6))
