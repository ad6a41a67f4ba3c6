"""Interactions of a shop, at random, and its items."""

import numpy as np

from tests.components.ingested import events

ITEMS = "item_id,title\n" + "".join(f"i{n},Thing {n}\n" for n in range(30))


def interactions(seed: int, size: int = 3000, bought: float = 0.3) -> str:
    rng = np.random.default_rng(seed)
    users, items = rng.integers(300, size=size), (30 * rng.random(size) ** 2).astype(int)
    kinds = np.where(rng.random(size) < bought, "buy", "view")
    rows = zip((f"u{n}" for n in users), (f"i{n}" for n in items), range(size), kinds, strict=True)
    return events(rows, "user_id,item_id,timestamp,event_type")
