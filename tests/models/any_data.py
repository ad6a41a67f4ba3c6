"""Catalogues and sequences of any shape: users without events, unknown items and values, queries, ties, a context."""

from __future__ import annotations

import numpy as np

from homefeed.models.catalogue import Catalogue
from homefeed.models.sequences import Sequences
from homefeed.schemas.features import Input
from tests.toy_data import toy_inputs

NUM_ITEMS = 9
UNKNOWN_SHARE = 0.2


def any_catalogue(seed: int) -> Catalogue:
    rng = np.random.default_rng(seed)
    rows = NUM_ITEMS + 1
    categories = rng.integers(0, 5, (rows, 3)).astype(np.int32)
    categories[0] = 0
    counts = rng.integers(0, 4, rows)
    counts[0] = 0
    return Catalogue(
        item_ids=np.array([b"", *(f"商品-{row}".encode() for row in range(1, rows))], object),
        titles=np.array([b"", *(f"Title {row}".encode() for row in range(1, rows))], object),
        token_ids=rng.integers(0, 9, (rows, 4)).astype(np.int32) * (np.arange(rows)[:, None] > 0),
        categorical={"categories": categories},
        numeric={},
        vocabularies={"categories": ("a", "b", "c")},
        train_counts=counts,
    )


def any_sequences(seed: int) -> Sequences:
    """Every third seed has no queries, every fourth nobody with an event before the split."""
    rng = np.random.default_rng(100 + seed)
    lengths = rng.integers(0, 8, rng.integers(1, 7))
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    total, users = int(splits[-1]), len(lengths)
    times = np.concatenate([np.empty(0, np.int64), *(np.sort(rng.integers(1, 60, n)) for n in lengths)])
    value = rng.integers(1, 6, total).astype(np.float32)
    value[rng.random(total) < UNKNOWN_SHARE] = np.nan
    items = rng.integers(1, NUM_ITEMS + 1, total)
    queries = rng.integers(0, 4, (total, 3)).astype(np.int32) * (rng.random(total) < 0.5)[:, None]
    return Sequences(
        user_ids=np.array([f"用户-{row}".encode() for row in range(users)], object),
        row_splits=splits,
        num_history=(rng.random(users) * (lengths + 1)).astype(np.int64) * bool(seed % 4),
        item_index=np.where(rng.random(total) < UNKNOWN_SHARE, 0, items).astype(np.int32),
        timestamp=times.astype(np.int64),
        event_categorical={"event_type": rng.integers(0, 4, total).astype(np.int32)},
        event_numeric={"value": value},
        event_vocabularies={"event_type": ("view", "buy")},
        positive=rng.random(total) < 0.5,
        categorical={"gender": rng.integers(0, 4, (users, 2)).astype(np.int32)},
        numeric={"age": np.where(rng.random((users, 1)) < 0.3, np.nan, 30).astype(np.float32)},
        vocabularies={"gender": ("F", "M")},
        inputs=toy_inputs()
        | {"context_event_type": Input("string", (-1,)), "user_gender": Input("string", (-1, -1))},
        query_token_ids=np.sort(queries)[:, ::-1] if seed % 3 else None,
    )
