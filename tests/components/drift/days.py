"""Days of a shop's log, and their summaries."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homefeed.components.drift.compare import compare
from homefeed.components.drift.summary import Summary, summarize_batches
from homefeed.schemas.columns import Feature

FEATURES = {
    "user_id": Feature(kind="id"),
    "item_id": Feature(kind="id"),
    "timestamp": Feature(kind="timestamp"),
    "event_type": Feature(kind="category"),
    "value": Feature(kind="number"),
    "query": Feature(kind="text"),
}

KINDS = ("view", "click", "buy")

WORDS = [f"word{number}" for number in range(300)]


def day(seed: int, size: int = 6000, num_users: int = 400) -> dict[str, npt.NDArray[np.object_]]:
    """Interactions: long tails, tastes that differ from user to user, 5% of the values missing."""
    rng = np.random.default_rng(seed)
    user = (num_users * rng.random(size) ** 2).astype(int)
    item = (800 * rng.random(size) ** 3).astype(int)
    mood = np.random.default_rng(7).normal(size=num_users)[user]  # Clusters: users are the same every day.
    kind = np.digitize(mood + rng.normal(size=size), (0.3, 1.6))
    value = np.where(rng.random(size) < 0.05, None, mood + rng.normal(size=size))
    query = [f"{WORDS[a]} {WORDS[b]}" for a, b in (300 * rng.random((size, 2)) ** 2).astype(int)]
    return {
        "user_id": np.array([f"u{n}" for n in user], object),
        "item_id": np.array([f"i{n}" for n in item], object),
        "event_type": np.array(KINDS, object)[kind],
        "value": value,
        "query": np.array(query, object),
    }


def summary(columns: dict[str, npt.NDArray[np.object_]], rows: npt.NDArray[np.bool_] | None = None) -> Summary:
    kept = {name: column if rows is None else column[rows] for name, column in columns.items()}
    types = {"value": pa.float32()}
    arrays = [pa.array(column.tolist(), types.get(name, pa.string())) for name, column in kept.items()]
    batch = pa.RecordBatch.from_arrays(arrays, list(kept))
    return summarize_batches("day", {"interactions": [batch]}, {"interactions": FEATURES})


def alarms(before: Summary, after: Summary) -> set[str]:
    return {f"{found.feature.partition('.')[2]}:{found.measure}" for found in compare(before, after).drifted}
