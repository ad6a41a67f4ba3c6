"""A world in which one kind of item follows another, and only texts tell kinds."""

import dataclasses

import numpy as np

from homefeed.models.catalogue import Catalogue
from homefeed.models.sequences import Sequences
from homefeed.models.text.settings import Settings
from tests.toy_data import toy_catalogue, toy_sequences

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "green", "x", "y", "z"]
NUM_ITEMS = 33
KINDS = np.arange(NUM_ITEMS + 1) % 3  # Of rows.
NEW = (31, 32, 33)  # Rows of items that nobody had: one of each kind.
SETTINGS = Settings(
    head_steps=150, fine_tuning_steps=20, texts_per_step=12, max_events=4, held_out=0.2, batch_size=64, head_size=4
)


def make_world(num_users: int = 40, num_events: int = 15) -> tuple[Catalogue, Sequences]:
    """Kind 1 always follows kind 0, 2 follows 1, and 0 follows 2; a text is its kind's word and two that say nothing.

    Who searches, as every fifth event, types the kind's word.
    """
    rng = np.random.default_rng(0)
    tokens = np.concatenate(
        [5 + KINDS[:, None], rng.integers(8, 11, (NUM_ITEMS + 1, 2)), np.zeros((NUM_ITEMS + 1, 1), np.int64)], axis=1
    ).astype(np.int32)
    tokens[0] = 0
    kinds = (rng.integers(0, 3, (num_users, 1)) + np.arange(num_events)) % 3
    picked = np.array([rng.choice(np.flatnonzero(KINDS[1:-3] == kind) + 1) for kind in kinds.ravel()])
    total = num_users * num_events
    queries = np.where(np.arange(total) % 5 == 0, 5 + kinds.ravel(), 0).astype(np.int32)[:, None]
    catalogue = dataclasses.replace(
        toy_catalogue(NUM_ITEMS), token_ids=tokens, train_counts=np.bincount(picked, minlength=NUM_ITEMS + 1)
    )
    sequences = dataclasses.replace(
        toy_sequences(num_users),
        row_splits=np.arange(0, total + 1, num_events),
        item_index=picked.astype(np.int32),
        timestamp=np.arange(total),
        event_numeric={"value": np.full(total, 3.0, np.float32)},
        event_categorical={"event_type": np.zeros(total, np.int32)},
        positive=np.ones(total, bool),
        query_token_ids=queries,
    )
    return catalogue, sequences
