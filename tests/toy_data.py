"""A catalogue and sequences with every optional part in them, lopsided so that swapped axes fail."""

import numpy as np

from homefeed.models.catalogue import Catalogue
from homefeed.models.sequences import Sequences
from homefeed.schemas.features import Input


def toy_catalogue(num_items: int = 7) -> Catalogue:
    """Items `i1` … , the last one never seen in training."""
    generator = np.random.default_rng(1)
    num_rows = num_items + 1
    ids = [b"", *(f"i{row}".encode() for row in range(1, num_rows))]
    titles = [b"", *(f"Title {row} 片{row}".encode() for row in range(1, num_rows))]
    catalogue = Catalogue(
        item_ids=np.array(ids, object),
        titles=np.array(titles, object),
        token_ids=generator.integers(5, 10, (num_rows, 3)).astype(np.int32),
        categorical={
            "categories": generator.integers(0, 4, (num_rows, 2)).astype(np.int32),
            "language": generator.integers(0, 3, (num_rows, 1)).astype(np.int32),
        },
        numeric={"price": generator.normal(size=(num_rows, 1)).astype(np.float32)},
        vocabularies={"categories": ("drama", "crime"), "language": ("en",)},
        train_counts=np.array([0, *range(num_items - 1, -1, -1)], np.int64),
    )
    catalogue.token_ids[0] = 0
    catalogue.categorical["categories"][0] = catalogue.categorical["language"][0] = 0
    catalogue.numeric["price"][0] = catalogue.numeric["price"][2] = np.nan
    return catalogue


def toy_inputs(*, has_values: bool = True) -> dict[str, Input]:
    """What a request to a model of the toy data holds."""
    events = {"history_event_type": Input("string", (-1, -1))}
    events |= {"history_value": Input("float32", (-1, -1))} if has_values else {}
    return {
        "history": Input("string", (-1, -1)),
        "history_timestamp": Input("int64", (-1, -1)),
        "timestamp": Input("int64", (-1,)),
        **events,
        "user_gender": Input("string", (-1,)),
        "user_age": Input("float32", (-1,)),
    }


def toy_sequences(num_users: int = 5, num_items: int = 7, num_history: int = 0) -> Sequences:
    """User u has u + 3 events, of which the first `num_history` happened before the split."""
    generator = np.random.default_rng(2)
    lengths = np.arange(num_users) + 3
    row_splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    total = int(row_splits[-1])
    item_index = np.concatenate(
        [np.empty(0, np.int64), *((start + np.arange(n)) % num_items + 1 for start, n in enumerate(lengths))]
    )
    value = generator.integers(1, 6, total).astype(np.float32)
    value[::4] = np.nan
    return Sequences(
        user_ids=np.array([f"u{row}".encode() for row in range(num_users)], object),
        row_splits=row_splits,
        num_history=np.full(num_users, num_history, np.int64),
        item_index=item_index.astype(np.int32),
        timestamp=1_000_000 + np.arange(total, dtype=np.int64) * 60,
        event_categorical={"event_type": generator.integers(0, 4, total).astype(np.int32)},
        event_numeric={"value": value},
        event_vocabularies={"event_type": ("view", "buy")},
        positive=value >= 4,
        categorical={"gender": generator.integers(0, 4, (num_users, 1)).astype(np.int32)},
        numeric={"age": generator.integers(20, 60, (num_users, 1)).astype(np.float32)},
        vocabularies={"gender": ("F", "M")},
        inputs=toy_inputs(),
    )
