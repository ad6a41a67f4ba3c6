"""Logs by hand: of three users over three splits, and of one user."""

from typing import Any

import numpy as np
import pyarrow as pa

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.coded import Coded
from homefeed.components.transform.events import Events, join_splits
from tests.components.ragged import numbers, strings


def make_events() -> Events:
    """u1 and u2 are trained on; u2 and u3 come in eval, u1 and u3 in test."""

    def split(users: list[str], items: list[list[str]], times: list[list[int]]) -> pa.RecordBatch:
        return example_io.record_batch(
            {
                "user_id": strings(*[[user] for user in users]),
                "item_id": strings(*items),
                "timestamp": numbers(np.int64, *times),
                "value": numbers(np.float32, *[[float(t % 10) for t in row] for row in times]),
            }
        )

    return join_splits(
        {
            "train": [split(["u2"], [["heat"]], [[11]]), split(["u1"], [["heat", "gone"]], [[12, 13]])],
            "eval": [split(["u2", "u3"], [["咖啡", "new"], ["heat"]], [[24, 25], [26]])],
            "test": [split(["u1", "u3"], [["new"], ["咖啡"]], [[37], [38]])],
        }
    )


STRINGS = ("item_id", "event_type", "device", "query", "impression_id")


def log(**columns: list[Any]) -> Events:
    """Events of one user, of which the last one is not for training."""
    count = len(next(iter(columns.values())))
    split = np.array([0] * (count - 1) + [2], np.int8)
    arrays = {name: Coded.of(values) if name in STRINGS else np.array(values) for name, values in columns.items()}
    return Events(np.zeros(count, np.int32), split, arrays, np.array([b"u"], object))
