"""A live store with pages and what came of them, and a data folder that takes its spans."""

from __future__ import annotations

import pathlib
import random

import orjson

from homefeed.serving.profiles import Exposure, LiveEvent, LiveStore
from homefeed.serving.profiles.store import LIVE_FILE_NAME

NOW = 1_800_000_000
DATASET = """\
name: shop
interactions:
  path: interactions/{SPAN}.*
  features:
    event_type: {kind: category, domain: [click, purchase, like, view]}
exposures: {path: 'exposures/{SPAN}.parquet'}
"""


def make(folder: pathlib.Path, dataset: str = DATASET) -> tuple[pathlib.Path, pathlib.Path]:
    """An empty store, `serving`, and `data`."""
    serving, data = folder / "serving", folder / "data"
    for place in (serving, data):
        place.mkdir(parents=True)
    (data / "dataset.yaml").write_text(dataset, encoding="utf-8")
    LiveStore(serving / LIVE_FILE_NAME).close()
    return serving, data


def page(impression_id: str, *items: str, model_version: int = 3) -> bytes:
    """A page of one row."""
    rows = [{"id": "for_you", "items": items, "found_by": ["fused"] * len(items)}]
    facts = {"surface": "home", "served_by": "fused", "rules_version": "r", "profile_version": 0}
    return orjson.dumps({**facts, "impression_id": impression_id, "model_version": model_version, "rows": rows})


def exposure(impression_id: str, user: str, at: int, *items: str) -> Exposure:
    return Exposure(impression_id, user, "", at * 1000, page(impression_id, *items))


def event(event_id: str, user: str, kind: str, item: str = "", at: int = NOW - 7_000, page: str = "") -> LiveEvent:
    """One whose token proved its page, if it names one."""
    return LiveEvent(
        event_id, user, kind, at, at * 1000, item_id=item, impression_id=page, attributed=bool(page), tags=("drama",)
    )


def busy(serving: pathlib.Path, seed: int, num_users: int = 12, num_events: int = 20) -> list[LiveEvent]:
    """Some days of users who see pages and do things with items; gives what was acknowledged."""
    draw, log = random.Random(seed), list[LiveEvent]()
    store = LiveStore(serving / LIVE_FILE_NAME)
    kinds = ("impression", "impression", "click", "purchase", "like", "hide", "undo", "search")
    for user in range(num_users):
        for number in range(num_events):
            name, at = f"{seed}-{user}-{number}", NOW - draw.randrange(7_200, 40 * 86_400)
            items = [f"i{draw.randrange(30)}" for _ in range(3)]
            store.record(exposure(f"page-{name}", f"u{user}", at, *items)).result()
            kind = draw.choice(kinds)
            log.append(event(name, f"u{user}", kind, "" if kind == "search" else items[0], at + 5, f"page-{name}"))
    log.sort(key=lambda one: one.received_at)
    store.append(log).result()
    store.close()
    return log


def users(log: list[LiveEvent]) -> list[str]:
    return sorted({event.user_id for event in log})
