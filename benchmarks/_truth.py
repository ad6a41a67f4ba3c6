"""What the simulated store hides: read back from the `truth.json` that it writes."""

from __future__ import annotations

import json
import pathlib

import numpy as np

from homefeed.pipeline.datasets.sample.store import Items, Users


def read_truth(folder: pathlib.Path) -> tuple[Items, Users, list[str]]:
    """Items, shoppers, whose ids count them, and the items' ids."""
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    ids: list[str] = truth["items"].pop("item_id")
    truth["users"].pop("user_id")
    items = Items(**{name: np.array(column) for name, column in truth["items"].items()})
    users = Users(**{name: np.array(column) for name, column in truth["users"].items()})
    return items, users, ids
