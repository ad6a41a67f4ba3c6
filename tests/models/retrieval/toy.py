"""A lopsided toy world: 7 items in two genres, users who stay within theirs, one item that nobody had."""

import numpy as np

from homefeed.models.catalogue import Catalogue
from homefeed.models.sequences import Sequences
from tests.toy_data import toy_inputs

NUM_ITEMS = 7
NEW_ITEM = 7  # Of genre "b"; nobody had it in training.


def catalogue() -> Catalogue:
    """Items 1-3 are of genre a, 4-7 of genre b; what a text model makes of them says nothing of that."""
    vectors = np.random.default_rng(0).normal(size=(NUM_ITEMS + 1, 3)).astype(np.float32)
    vectors[0] = 0
    genres = np.array([[0], [2], [2], [2], [3], [3], [3], [3]], np.int32)
    return Catalogue(
        item_ids=np.array([b"", *(f"item-{i}".encode() for i in range(1, NUM_ITEMS + 1))], object),
        titles=np.array([b"", *(f"Title {i}".encode() for i in range(1, NUM_ITEMS)), "片名".encode()], object),
        token_ids=np.array([[0, 0], [5, 0], [5, 6], [5, 7], [8, 0], [8, 6], [8, 7], [8, 9]], np.int32),
        categorical={"categories": genres},
        numeric={"price": np.array([[np.nan], [1], [2], [3], [10], [11], [12], [13]], np.float32)},
        vocabularies={"categories": ("a", "b")},
        train_counts=np.array([0, 9, 8, 7, 9, 8, 7, 0]),
        text_vectors=vectors,
    )


def sequences(num_users: int = 12, num_targets: int = 3, num_history: int = 0, seed: int = 0) -> Sequences:
    """Users take turns: genre a (and gender f), genre b (and gender m); each has that genre's items, shuffled."""
    generator = np.random.default_rng(seed)
    is_a = np.arange(num_users) % 2 == 0
    length = num_history + num_targets
    items = np.concatenate([generator.permutation([1, 2, 3] if a else [4, 5, 6])[:length] for a in is_a])
    num_events = len(items)
    return Sequences(
        user_ids=np.array([f"user-{u}".encode() for u in range(num_users)], object),
        row_splits=length * np.arange(num_users + 1, dtype=np.int64),
        num_history=np.full(num_users, num_history, np.int64),
        item_index=items.astype(np.int32),
        timestamp=(1_000_000 + 60 * np.arange(num_events)).astype(np.int64),
        event_categorical={"event_type": generator.integers(2, 4, num_events).astype(np.int32)},
        event_numeric={"value": generator.integers(1, 6, num_events).astype(np.float32)},
        event_vocabularies={"event_type": ("view", "buy")},
        positive=np.ones(num_events, bool),
        categorical={"gender": np.where(is_a, 2, 3)[:, None].astype(np.int32)},
        numeric={"age": generator.uniform(10, 80, (num_users, 1)).astype(np.float32)},
        vocabularies={"gender": ("f", "m")},
        inputs=toy_inputs(),
    )
