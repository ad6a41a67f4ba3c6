"""A simulated news site: items live for a day, new ones come all day, and a model of yesterday knows none of them.

How a reader picks what to read, which is what a recommender should find out:

1. *What is hot*: an item draws readers by an appeal of its own, which nothing tells but what others read; it wears
   off within hours. A few have a burst: something happened, and for some hours many more read them.
2. *Taste*: for categories and the topics in them, which only the title tells; for one's own region and language.

Readers come by day and rarely by night, and nobody reads the same twice. A few items are always there: guides.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from homefeed.pipeline.datasets.on_disk import write_csv
from homefeed.pipeline.datasets.sample.news_words import DESKS, HAPPENINGS, REGIONS
from homefeed.pipeline.datasets.sample.simulation import START
from homefeed.pipeline.datasets.sample.store import Floats, Ints
from homefeed.pipeline.datasets.sample.words import LANGUAGES
from homefeed.schemas.dataset import FILE_NAME

DAYS = 14
LIFE_HOURS = 30.0  # After which an item is gone.
WEAR_HOURS = 8.0  # In which its appeal falls to 1 / e.
GUIDE_FRACTION, GUIDE_APPEAL = 0.01, -1.0  # Of items: always there, and never new.
BURST_FRACTION, BURST_APPEAL, BURST_HOURS = 0.04, 2.5, 3.0
CHINESE_FRACTION = 0.4
DESCRIPTION = f"""\
# A simulated news site, made by `homefeed data sample --kind news`.
name: news
objective: interactions
interactions:
  path: interactions.csv
items:
  path: items.csv
  features:
    language: {{kind: category, domain: [{", ".join(LANGUAGES)}]}}
    region: {{kind: category, domain: [{", ".join(region for region, _ in REGIONS)}]}}
users:
  path: users.csv
  features:
    language: {{kind: category, domain: [{", ".join(LANGUAGES)}]}}
    region: {{kind: category, domain: [{", ".join(region for region, _ in REGIONS)}]}}
"""


@dataclasses.dataclass(frozen=True)
class _Items:
    """Arrays are [num_items]; times are hours from the start."""

    desk: Ints
    topic: Ints
    region: Ints
    language: Ints
    happening: Ints
    appeal: Floats  # A logit.
    born: Floats  # Negative: a guide, which is always there.
    burst: Floats  # When one begins; infinite: none.


@dataclasses.dataclass(frozen=True)
class _Readers:
    """Logits are [num_readers, …]."""

    desks: Floats
    topics: Floats  # [num_readers, num_desks, num_topics]
    region: Ints
    language: Ints
    activity: Floats  # Sums to 1.


def write_news(
    out_dir: pathlib.Path | str,
    *,
    num_users: int = 1_000,
    num_items: int = 6_000,
    num_events: int = 60_000,
    seed: int = 0,
) -> str:
    """Simulates two weeks of a news site and writes its three tables and `dataset.yaml` into a folder.

    The same arguments give the same bytes.

    Returns:
        What was made, for people.

    Raises:
        ValueError: fewer than one event a reader, or fewer than 100 items, or so many events that readers run out.
    """
    if not (num_users >= 1 and num_items >= 100 and num_users <= num_events <= num_users * num_items / 40):
        raise ValueError(
            f"num_users={num_users}, num_items={num_items}, num_events={num_events}: expected at least 1 reader, "
            "100 items, and between one event a reader and a fortieth of readers × items."
        )
    rng = np.random.default_rng(seed)
    items, readers = _make_items(rng, num_items), _make_readers(rng, num_users)
    user, item, hour = _read(rng, items, readers, num_events)
    out = pathlib.Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    ids = [f"{('news-', '新闻-')[language]}{row:05d}" for row, language in enumerate(items.language.tolist())]
    columns = ("item_id", "title", "description", "categories", "language", "available_from", "region")
    write_csv(out / "items.csv", columns, (_item_row(items, row, ids[row]) for row in range(num_items)))
    people = zip(readers.language.tolist(), readers.region.tolist(), strict=True)
    write_csv(
        out / "users.csv",
        ("user_id", "language", "region"),
        ((f"reader-{n:05d}", LANGUAGES[said], REGIONS[home][0]) for n, (said, home) in enumerate(people)),
    )
    second = (START.timestamp() + hour * 3_600).astype(np.int64)
    events = zip(user.tolist(), item.tolist(), second.tolist(), strict=True)
    write_csv(
        out / "interactions.csv",
        ("user_id", "item_id", "timestamp"),
        ((f"reader-{who:05d}", ids[what], when) for who, what, when in events),
    )
    (out / FILE_NAME).write_text(DESCRIPTION, encoding="utf-8")
    return f"{len(user):,} events, {num_users:,} users, {num_items:,} items"


def _make_items(rng: np.random.Generator, size: int) -> _Items:
    born = _daytimes(rng, size)
    has_burst = rng.random(size) < BURST_FRACTION
    is_guide = rng.random(size) < GUIDE_FRACTION
    is_guide[0] = True  # Somebody may come before the first news.
    appeal = rng.gumbel(size=size) * 0.8
    return _Items(
        desk=rng.integers(len(DESKS), size=size),
        topic=rng.integers(len(DESKS[0].topics), size=size),
        region=rng.integers(len(REGIONS), size=size),
        language=(rng.random(size) < CHINESE_FRACTION).astype(np.int64),
        happening=rng.integers(len(HAPPENINGS), size=size),
        appeal=np.where(is_guide, appeal + GUIDE_APPEAL, appeal),
        born=np.where(is_guide, -1.0, born),
        burst=np.where(has_burst & ~is_guide, born + rng.uniform(1, 12, size), np.inf),
    )


def _make_readers(rng: np.random.Generator, size: int) -> _Readers:
    activity = np.exp(rng.normal(size=size) * 0.8)
    return _Readers(
        desks=rng.normal(size=(size, len(DESKS))) * 1.2,
        topics=rng.normal(size=(size, len(DESKS), len(DESKS[0].topics))),
        region=rng.integers(len(REGIONS), size=size),
        language=(rng.random(size) < CHINESE_FRACTION).astype(np.int64),
        activity=activity / activity.sum(),
    )


def _daytimes(rng: np.random.Generator, size: int) -> Floats:
    """[size] hours from the start, ascending: many in the morning and in the evening, few at night."""
    hours = np.arange(DAYS * 24)
    busy = 0.1 + np.exp(-(((hours % 24 - 8) / 2.5) ** 2)) + np.exp(-(((hours % 24 - 19) / 3.5) ** 2))
    found = rng.choice(hours, size, p=busy / busy.sum()) + rng.random(size)
    return np.sort(found)


def _read(rng: np.random.Generator, items: _Items, readers: _Readers, num_events: int) -> tuple[Ints, Ints, Floats]:
    """[num_events] readers, items and hours, in order of time."""
    num_tries = num_events * 3 // 2  # Whoever would read the same again does something else.
    hour = _daytimes(rng, num_tries)
    user = rng.choice(len(readers.activity), num_tries, p=readers.activity)
    user[: len(readers.activity)] = rng.permutation(len(readers.activity))  # Everybody comes once, on the first days.
    item = np.empty(num_tries, np.int64)
    quarters = np.searchsorted(hour, np.arange(0, DAYS * 24 + 0.25, 0.25))
    for start, stop in zip(quarters[:-1].tolist(), quarters[1:].tolist(), strict=True):
        if start < stop:
            item[start:stop] = _pick(rng, items, readers, user[start:stop], float(hour[start]))
    _, first = np.unique(user * len(items.desk) + item, return_index=True)
    kept = np.sort(first)
    is_first_of_user = np.zeros(len(kept), bool)
    is_first_of_user[np.unique(user[kept], return_index=True)[1]] = True
    rest = np.flatnonzero(~is_first_of_user)
    wanted = min(num_events - int(is_first_of_user.sum()), len(rest))
    kept = kept[np.sort(np.concatenate([np.flatnonzero(is_first_of_user), rng.choice(rest, wanted, replace=False)]))]
    return user[kept], item[kept], hour[kept]


def _pick(rng: np.random.Generator, items: _Items, readers: _Readers, who: Ints, hour: float) -> Ints:
    """[num_picking] items that are there."""
    age = hour - items.born
    is_guide = items.born < 0
    there = np.flatnonzero(is_guide | ((age >= 0) & (age < LIFE_HOURS)))
    wear = np.where(is_guide, 0.0, age / WEAR_HOURS)[there]
    since = hour - items.burst[there]
    burst = np.where(since >= 0, BURST_APPEAL * np.exp(-np.maximum(since, 0) / BURST_HOURS), 0.0)
    draw = items.appeal[there] - wear + burst
    taste = readers.desks[who][:, items.desk[there]]
    taste += readers.topics[who][:, items.desk[there], items.topic[there]]
    taste += 1.0 * (readers.region[who][:, None] == items.region[there])
    taste += 2.5 * (readers.language[who][:, None] == items.language[there])
    noise = rng.gumbel(size=taste.shape)
    return there[np.argmax(draw + taste + noise, axis=1)]


def _item_row(items: _Items, row: int, item_id: str) -> tuple[object, ...]:
    language = int(items.language[row])
    desk, happening = DESKS[items.desk[row]], HAPPENINGS[items.happening[row]][language]
    topic, region = desk.topics[items.topic[row]][language], REGIONS[items.region[row]]
    if LANGUAGES[language] == "en":
        title = f"{topic} in {region[0]}: {happening}"
        text = f"{desk.name[0]} from {region[0]}. {topic}, and {happening}."
    else:
        title = f"{region[1]}{topic}：{happening}"
        text = f"来自{region[1]}的{desk.name[1]}报道：{topic}，{happening}。"
    second = START.timestamp() + max(0.0, float(items.born[row])) * 3_600
    return item_id, title, text, desk.name[0], LANGUAGES[language], int(second), region[0]
