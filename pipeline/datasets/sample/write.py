"""Writes the store into a folder: its tables, `dataset.yaml`, and what was hidden."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
from collections.abc import Mapping

import numpy as np

from homefeed.pipeline.datasets.on_disk import write_csv
from homefeed.pipeline.datasets.sample.rows import (
    EVENT_COLUMNS,
    EXPOSURE_COLUMNS,
    ITEM_COLUMNS,
    USER_COLUMNS,
    event_rows,
    exposure_rows,
    item_ids,
    item_rows,
    user_ids,
    user_rows,
)
from homefeed.pipeline.datasets.sample.simulation import SPAN_SECONDS, START, simulate
from homefeed.pipeline.datasets.sample.store import (
    DRIFT,
    Drift,
    Floats,
    Items,
    Users,
    arrivals,
    make_items,
    make_transitions,
    make_users,
)
from homefeed.pipeline.datasets.sample.words import (
    CATEGORIES,
    EVENT_TYPES,
    LANGUAGES,
    MATERIALS,
    MEMBERSHIPS,
    STYLES,
)
from homefeed.schemas.columns import TABLES
from homefeed.schemas.dataset import FILE_NAME

WEEK_SECONDS = 7 * 24 * 3600


DESCRIPTION = f"""\
# A simulated store, made by `homefeed data sample`.
name: sample
interactions:
  path: interactions.csv
  features:
    event_type: {{kind: category, domain: [{", ".join(EVENT_TYPES)}]}}
    value: {{kind: number, min: 1, max: 5}}  # A rating; who only viewed rarely gives one.
items:
  path: items.csv
  features:
    language: {{kind: category, domain: [{", ".join(LANGUAGES)}]}}
    brand: {{kind: category}}
    price: {{kind: number, min: 0}}
users:
  path: users.csv
  features:
    age: {{kind: number, min: 0, max: 120}}
    language: {{kind: category, domain: [{", ".join(LANGUAGES)}]}}
    membership: {{kind: category, domain: [{", ".join(MEMBERSHIPS)}]}}
positive:
  event_types: [click, purchase]
"""


LIVE_TYPES = ("like", "hide", "not_for_me")
"""What people do on the home page, beside what shoppers do in the store."""


def write_sample(
    out_dir: pathlib.Path | str,
    *,
    num_users: int = 300,
    num_items: int = 400,
    num_events: int = 12_000,
    seed: int = 0,
    impressions: bool = False,
    live: bool = False,
) -> str:
    """Simulates a store and writes its three tables, `dataset.yaml` and `truth.json` into a folder.

    The same arguments give the same bytes. With `impressions`, the store shows pages, of which shoppers look at the
    place p with probability 1 / p; what was shown is a fourth table, `exposures.csv`. With `live`, the folder takes
    spans of what comes to the home page.

    Returns:
        What was made, for people.

    Raises:
        ValueError: fewer than one event a user, or so many that shoppers would run out of items.
    """
    if not (num_users >= 1 and num_items >= len(CATEGORIES) and num_users <= num_events <= num_users * num_items / 4):
        raise ValueError(
            f"num_users={num_users}, num_items={num_items}, num_events={num_events}: expected at least 1 user, "
            f"{len(CATEGORIES)} items, and between one event a user and a quarter of users × items."
        )
    rng = np.random.default_rng(seed)
    items, users = make_items(rng, num_items), make_users(rng, num_users)
    transitions = make_transitions(rng)
    for patience in (2, 4, 8, 16):  # The smaller the store, the more often a shopper meets what they have had.
        events = simulate(rng, items, users, transitions, num_events, patience, pages=impressions)
        if len(events.user) == num_events:
            break

    out = pathlib.Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "items.csv", ITEM_COLUMNS, item_rows(rng, items))
    write_csv(out / "users.csv", USER_COLUMNS, user_rows(rng, users))
    log = out / ("interactions/1.csv" if live else "interactions.csv")
    log.parent.mkdir(exist_ok=True)
    write_csv(log, EVENT_COLUMNS, event_rows(rng, events, items, users))
    _write_truth(out / "truth.json", items, users, transitions)
    if impressions:
        write_csv(out / "exposures.csv", EXPOSURE_COLUMNS, exposure_rows(events, items, users))
    description = DESCRIPTION + ("exposures:\n  path: exposures.csv\n" if impressions else "")
    (out / FILE_NAME).write_text(_describe_live() if live else description, encoding="utf-8")
    return f"{len(events.user):,} events, {num_users:,} users, {num_items:,} items"


def write_weeks(
    out_dir: pathlib.Path | str,
    *,
    num_weeks: int = 12,
    num_users: int = 500,
    num_items: int = 400,
    num_events: int = 24_000,
    poisoned: Mapping[int, str] | None = None,
    seed: int = 0,
) -> list[str]:
    """Simulates a store that changes and writes it as spans of a week: its events, and the items and users so far.

    Args:
        out_dir: gets `dataset.yaml` and `<table>/<first day of the week>.csv`.
        num_weeks: at most 12.
        num_users: shoppers; half of them come during the weeks.
        num_items: items; so do 40% of them.
        num_events: in the 90 days of which the weeks are the first ones.
        poisoned: week (from 1) → `schema` (event types of another system) or `ids` (item ids that were mixed up).
        seed: of the simulation; a poisoned store is, but for its poison, the store of the same seed.

    Returns:
        The spans' names, in order.
    """
    if not 1 <= num_weeks <= 12:
        raise ValueError(f"num_weeks={num_weeks}, expected 1 to 12")
    rng = np.random.default_rng(seed)
    items, users = _growing(rng, num_users, num_items)
    drift = _make_drift(rng, users, num_items)
    events = simulate(rng, items, users, make_transitions(rng), num_events, patience=4, drift=drift)
    tables = {
        "items": (ITEM_COLUMNS, item_rows(rng, items), items.available_from),
        "users": (USER_COLUMNS, user_rows(rng, users), users.joins),
        "interactions": (EVENT_COLUMNS, event_rows(rng, events, items, users), events.time),
    }
    out = pathlib.Path(out_dir)
    spans = [(START + datetime.timedelta(weeks=week)).date().isoformat() for week in range(num_weeks)]
    for week, span in enumerate(spans):
        start, end = (edge * WEEK_SECONDS / SPAN_SECONDS for edge in (week, week + 1))
        for table, (columns, rows, times) in tables.items():
            within = (times < end) & ((times >= start) | (table != "interactions"))
            chosen = [rows[row] for row in np.flatnonzero(within)]
            if table == "interactions":
                chosen = _poison(chosen, (poisoned or {}).get(week + 1, ""), item_ids(items))
            (out / table).mkdir(parents=True, exist_ok=True)
            write_csv(out / table / f"{span}.csv", columns, chosen)
    (out / FILE_NAME).write_text(_describe_weeks(), encoding="utf-8")
    return spans


def _growing(rng: np.random.Generator, num_users: int, num_items: int) -> tuple[Items, Users]:
    items, come = make_items(rng, num_items), arrivals(rng, num_items, 0.4, always=len(CATEGORIES))
    users, join = make_users(rng, num_users), arrivals(rng, num_users, 0.5, always=1)
    return dataclasses.replace(items, available_from=come), dataclasses.replace(users, joins=join)


def _make_drift(rng: np.random.Generator, users: Users, num_items: int) -> Drift:
    """The shoppers' taste becomes that of others."""
    other = make_users(rng, len(users.age))
    materials = (users.materials + other.materials) / 2
    later = dataclasses.replace(users, categories=other.categories, styles=other.styles, materials=materials)
    return Drift(later, rng.normal(size=num_items) * DRIFT)


def _describe_live() -> str:
    types = ", ".join(EVENT_TYPES)
    return (
        DESCRIPTION.replace("path: interactions.csv", "path: interactions/{SPAN}.*")
        .replace(types, f"{types}, {', '.join(LIVE_TYPES)}")
        .replace("event_types: [click, purchase]", "event_types: [click, purchase, like]")
        + "exposures:\n  path: exposures/{SPAN}.parquet\n"
        + "max_unmatched_fraction: 1  # Guests are in no table of users.\n"
    )


def _describe_weeks() -> str:
    description = DESCRIPTION.replace("name: sample", "name: sample-weeks")
    for table in TABLES:
        description = description.replace(f"path: {table}.csv", f"path: {table}/{{SPAN}}.csv")
    return description


def _poison(rows: list[tuple[object, ...]], poison: str, item_ids: list[str]) -> list[tuple[object, ...]]:
    place = EVENT_COLUMNS.index("event_type" if poison == "schema" else "item_id")
    if poison == "schema":
        return [(*row[:place], f"EVT_{str(row[place]).upper()}", *row[place + 1 :]) for row in rows]
    if poison == "ids":
        mixed = dict(zip(item_ids, np.random.default_rng(1).permutation(item_ids).tolist(), strict=True))
        return [(*row[:place], mixed[str(row[place])], *row[place + 1 :]) for row in rows]
    return rows


def _write_truth(path: pathlib.Path, items: Items, users: Users, transitions: Floats) -> None:
    def plain(table: Items | Users) -> dict[str, object]:
        columns = dataclasses.asdict(table)
        return {name: np.round(column, 4).tolist() for name, column in columns.items()}

    truth = {
        "categories": [category.names[0] for category in CATEGORIES],
        "styles": [style[0][0] for style in STYLES],
        "materials": [material[0] for material in MATERIALS],
        "transitions": np.round(transitions, 4).tolist(),
        "items": {"item_id": item_ids(items)} | plain(items),
        "users": {"user_id": user_ids(users)} | plain(users),
    }
    path.write_text(json.dumps(truth, ensure_ascii=False) + "\n", encoding="utf-8")
