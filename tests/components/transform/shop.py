"""A shop of few people whose tables are cut into many shards."""

import pathlib

import numpy as np

from tests.components.ingested import write_dataset

DESCRIPTION = """\
name: tiny
positive: {event_types: [buy]}
interactions: {path: interactions.csv, features: {paid: {kind: number}, device: {kind: category}}}
items: {path: items.csv}
users:
  path: users.csv
  features: {country: {kind: category}, age: {kind: number}, taste: {kind: embedding, size: 2}}
exposures: {path: exposures.csv}
max_unmatched_fraction: 1
max_bad_fraction: 1
"""
NUM_USERS, NUM_EVENTS = 20, 200
NOTE = "x" * 60_000  # A column that nobody reads makes a file of many shards from few rows.


def write_shop(folder: pathlib.Path, note: str) -> pathlib.Path:
    """Users of whom some do nothing, some are in no table, and one alone has a country, an age or searches."""
    rng = np.random.default_rng(0)
    lines = ["user_id,item_id,timestamp,event_type,query,paid,device,impression_id,note"]
    for second in range(NUM_EVENTS):
        user, item = rng.integers(0, NUM_USERS, 2)
        query, paid = ("red tea", 1.5) if user == 3 else ("", "")
        kind, page = ("buy", f"p{second}") if second % 3 == 0 else ("view", "")
        lines.append(f"u{user},i{item},{second},{kind},{query},{paid},{'phone' if user == 4 else ''},{page},{note}")
    users = "user_id,country,age,taste\n" + "".join(
        f"u{user},{'DE' if user == 5 else ''},{31 if user == 6 else ''},{'1|2' if user == 7 else ''}\n"
        for user in range(2, NUM_USERS + 20)
    )
    items = "item_id,title\n" + "".join(f"i{item},Title {item}\n" for item in range(NUM_USERS - 2))
    write_dataset(folder, "\n".join(lines) + "\n", items, users, DESCRIPTION)
    shown = "impression_id,user_id,item_id,timestamp\n"
    shown += "".join(f"p{at},u{at % 40},i{item},{at}\n" for at in range(NUM_EVENTS) for item in range(3))
    (folder / "exposures.csv").write_text(shown, encoding="utf-8")
    return folder
