"""Amazon reviews 2023: what people bought and wrote of it, in 33 categories (Hou et al., 2024).

The lab that collected them publishes them for research, and names no licence that would allow more.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from homefeed.pipeline.datasets.on_disk import find, read_text, write_dataset
from homefeed.schemas.dataset import DatasetError

LICENCE = (
    "Amazon reviews 2023: published by the McAuley Lab for research that cites Hou et al., 2024; no more is allowed."
)
MAX_DESCRIPTION = 1000  # Letters of features and description, which are kept as one text.
DESCRIPTION = """\
# Amazon reviews 2023, https://amazon-reviews-2023.github.io (research use).
name: amazon-reviews-2023
interactions:
  path: interactions.csv
items:
  path: items.csv
  features:
    brand: {kind: category}
    price: {kind: number, min: 0}
positive:
  min_value: 4
"""


def write_amazon(out_dir: pathlib.Path | str, source: pathlib.Path | str) -> str:
    """Makes interactions and items of `<category>.jsonl` and `meta_<category>.jsonl`, packed with gzip or not.

    An item is what the variants of a product share (`parent_asin`), and only items with a review are kept.

    Args:
        out_dir: gets the tables and `dataset.yaml`.
        source: folder of one or several categories.

    Returns:
        What was made, for people.

    Raises:
        DatasetError: the folder or a file is not there, or a line is no JSON.
    """
    metas = find(source, "meta_*.jsonl", "meta_*.jsonl.gz")
    reviews = [path for path in find(source, "*.jsonl", "*.jsonl.gz") if path not in metas]
    if not reviews:
        raise DatasetError(f"{source} holds no reviews: beside meta_<category>.jsonl belongs <category>.jsonl.")
    reviewed = {item for _, item, _, _ in _interactions(reviews)}
    tables = {
        "interactions": (("user_id", "item_id", "timestamp", "value"), _interactions(reviews)),
        "items": (("item_id", "title", "description", "categories", "brand", "price"), _items(metas, reviewed)),
    }
    counts = write_dataset(out_dir, DESCRIPTION, tables)
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _interactions(reviews: Sequence[pathlib.Path]) -> Iterator[tuple[str, str, int, float]]:
    for review in _objects(reviews):
        yield review["user_id"], review["parent_asin"], int(review["timestamp"]) // 1000, review["rating"]


def _items(metas: Sequence[pathlib.Path], reviewed: set[str]) -> Iterator[tuple[str, str, str, str, str, str]]:
    for meta in _objects(metas):
        if meta["parent_asin"] in reviewed:
            text = " ".join([*meta.get("features", ()), *meta.get("description", ())])[:MAX_DESCRIPTION]
            categories = meta.get("categories") or [meta.get("main_category") or ""]
            yield (
                meta["parent_asin"],
                meta.get("title") or "",
                text,
                "|".join(name.replace("|", "/") for name in categories),
                meta.get("store") or "",
                _price(meta.get("price")),
            )


def _price(price: Any) -> str:
    """A number, or nothing: some say "from 9.99" or "—"."""
    try:
        return f"{float(price):g}"
    except (TypeError, ValueError):
        return ""


def _objects(paths: Sequence[pathlib.Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        with read_text(path) as file:
            for number, line in enumerate(file, 1):
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise DatasetError(f"{path} line {number} is no JSON: {error}.") from error
