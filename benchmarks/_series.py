"""A simulated bookshop: who reads what next is decided by series and authors, which no title tells, only facts do.

A reader goes on in the series of what they had last, and has authors that they like. A fifth of the books come out in
the course of the log. Each reader follows three others, mostly such as like the same author best.
"""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from homefeed.schemas.dataset import FILE_NAME

DESCRIPTION = """\
name: books
interactions: {path: interactions.csv}
items: {path: items.csv}
users: {path: users.csv}
relations: {path: relations.csv}
"""
KNOWLEDGE = """\
knowledge:
  path: facts.csv
  features: {series: {kind: categories}, author: {kind: categories}}
"""
WORDS = [
    "river",
    "stone",
    "winter",
    "garden",
    "letter",
    "shadow",
    "harbour",
    "silver",
    "night",
    "road",
    "glass",
    "song",
    "海",
    "山",
    "风",
    "城",
    "灯",
    "雪",
    "书",
    "路",
]
START, SECONDS = 1_735_689_600, 120 * 24 * 3600
BOOKS_OF_SERIES, SERIES_OF_AUTHOR = 5, 3
NEXT, TASTE, FAME = 4.0, 1.5, 0.7  # What going on in a series, liking an author, and being known weigh.
LATE = 0.2  # Share of books that come out late.

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def write_books(
    out: pathlib.Path,
    *,
    num_users: int = 400,
    num_items: int = 300,
    num_events: int = 4_000,
    seed: int = 0,
    knowledge: bool = True,
) -> None:
    """Writes the tables and `dataset.yaml`, with `knowledge` in it or without."""
    rng = np.random.default_rng(seed)
    series = rng.integers(num_items // BOOKS_OF_SERIES, size=num_items)
    author = rng.integers(series.max() // SERIES_OF_AUTHOR + 1, size=series.max() + 1)[series]
    titles = [" ".join(rng.choice(WORDS, 2, replace=False)) for _ in range(num_items)]
    taste = rng.normal(size=(num_users, author.max() + 1))
    liking = TASTE * taste[:, author] + FAME * rng.gumbel(size=num_items)
    opens = np.where(rng.random(num_items) < LATE, rng.uniform(0.1, 0.95, num_items), 0.0)
    user, item, time = _read(rng, liking, series, opens, num_events)

    out.mkdir(parents=True, exist_ok=True)
    ids, people = [f"b{row:04d}" for row in range(num_items)], [f"reader-{row:04d}" for row in range(num_users)]
    log = zip(
        (people[one] for one in user), (ids[one] for one in item), (START + time * SECONDS).astype(int), strict=True
    )
    facts = [(ids[row], "series", f"系列{series[row]:03d}") for row in range(num_items)]
    facts += [(ids[row], "author", f"Author {author[row]:02d}") for row in range(num_items)]
    followed = [(people[one], people[other]) for one, other in _follow(rng, taste.argmax(axis=1))]
    _write(out / "interactions.csv", ("user_id", "item_id", "timestamp"), log)
    _write(out / "items.csv", ("item_id", "title"), zip(ids, titles, strict=True))
    _write(out / "users.csv", ("user_id",), ((one,) for one in people))
    _write(out / "facts.csv", ("item_id", "relation", "value"), facts)
    _write(out / "relations.csv", ("user_id", "other_id"), followed)
    (out / FILE_NAME).write_text(DESCRIPTION + (KNOWLEDGE if knowledge else ""), encoding="utf-8")


def _read(
    rng: np.random.Generator, liking: Floats, series: Ints, opens: Floats, num_events: int
) -> tuple[Ints, Ints, Floats]:
    """Who reads what and when, in order of time; nobody reads a book twice."""
    num_users, num_items = liking.shape
    user, time = rng.permutation(np.arange(num_events) % num_users), np.sort(rng.random(num_events))
    last, had = np.full(num_users, -1), np.zeros((num_users, num_items), bool)
    item = np.empty(num_events, np.int64)
    for event, (who, now) in enumerate(zip(user, time, strict=True)):
        goes_on = NEXT * (series == series[last[who]]) if last[who] >= 0 else 0.0
        pull = liking[who] + goes_on + rng.gumbel(size=num_items)
        item[event] = last[who] = np.argmax(np.where(had[who] | (opens > now), -np.inf, pull))
        had[who, item[event]] = True
    return user, item, time


def _follow(rng: np.random.Generator, best: Ints) -> Iterable[tuple[int, int]]:
    """Reader and other: two who like the same author best, as far as there are any, and anybody."""
    for one, author in enumerate(best.tolist()):
        alike = np.setdiff1d(np.flatnonzero(best == author), [one])
        others = {*rng.permutation(alike)[:2].tolist(), int(rng.integers(len(best)))} - {one}
        yield from ((one, other) for other in sorted(others))


def _write(path: pathlib.Path, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
