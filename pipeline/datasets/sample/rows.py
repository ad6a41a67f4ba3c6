"""The store as rows of tables."""

from __future__ import annotations

import datetime

import numpy as np

from homefeed.pipeline.datasets.sample.simulation import SPAN_SECONDS, START, Events
from homefeed.pipeline.datasets.sample.store import Items, Users
from homefeed.pipeline.datasets.sample.words import (
    BRANDS,
    CATEGORIES,
    EVENT_TYPES,
    LANGUAGES,
    MATERIALS,
    MEMBERSHIPS,
    STYLE_SYNONYMS,
    STYLES,
)

MOOD = 0.5  # Deviation of the moment, beside how well an item suits.
DEPTHS = (0.2, 1.2)  # Of both: a click from here, a purchase from there.
MISSING_FRACTION = 0.05  # Of ages and descriptions.
QUERY_FRACTION = 0.15
SYNONYM_FRACTION = 0.25  # Of queries: what is looked for is called by words that no item's text holds.
ITEM_COLUMNS = ("item_id", "title", "description", "categories", "language", "available_from", "brand", "price")
USER_COLUMNS = ("user_id", "age", "language", "membership")
EXPOSURE_COLUMNS = ("impression_id", "user_id", "item_id", "timestamp", "position", "propensity", "clicked")
EVENT_COLUMNS = ("user_id", "item_id", "timestamp", "event_type", "value", "query")


def item_ids(items: Items) -> list[str]:
    """[num_items] ids, in the item's language."""
    return [f"{('item-', '商品-')[language]}{row:04d}" for row, language in enumerate(items.language.tolist())]


def user_ids(users: Users) -> list[str]:
    """[num_users] ids."""
    return [f"user-{row:04d}" for row in range(len(users.age))]


def item_rows(rng: np.random.Generator, items: Items) -> list[tuple[object, ...]]:
    """[num_items] rows of ITEM_COLUMNS."""
    ids = item_ids(items)
    size = len(ids)
    noun, use, word = rng.integers(4, size=size), rng.integers(2, size=size), rng.integers(2, size=(size, 2))
    brand = rng.integers(len(BRANDS), size=size)
    price = np.exp(3.5 + 0.8 * items.log_price)
    silent = rng.random(size) < MISSING_FRACTION
    rows: list[tuple[object, ...]] = []
    for row, item_id in enumerate(ids):
        title, text = _texts(items, row, BRANDS[brand[row]], noun[row], use[row], tuple(word[row].tolist()))
        rows.append(
            (
                item_id,
                title,
                "" if silent[row] else text,
                CATEGORIES[items.category[row]].names[0],
                LANGUAGES[items.language[row]],
                _iso(items.available_from[row]) if items.available_from[row] else "",
                BRANDS[brand[row]],
                f"{price[row]:.2f}",
            )
        )
    return rows


def _texts(items: Items, row: int, brand: str, noun: int, use: int, words: tuple[int, int]) -> tuple[str, str]:
    """An item's title and description, in its language."""
    language = int(items.language[row])
    category = CATEGORIES[items.category[row]]
    thing, purpose = category.nouns[language][noun], category.uses[language][use]
    material = MATERIALS[items.material[row]][language]
    adjective, other = (STYLES[items.style[row]][language][word] for word in words)
    if LANGUAGES[language] == "en":
        text = f"A {other} {thing} made of {material}, for {purpose}."
        return f"{brand} {adjective} {material} {thing}", text
    return f"{brand} {adjective}{material}{thing}", f"这款{other}的{thing}以{material}制成，适合{purpose}。"


def user_rows(rng: np.random.Generator, users: Users) -> list[tuple[object, ...]]:
    """[num_users] rows of USER_COLUMNS."""
    ids = user_ids(users)
    unknown = rng.random(len(ids)) < MISSING_FRACTION
    age = ["" if missing else f"{years:.0f}" for missing, years in zip(unknown, users.age, strict=True)]
    language = [LANGUAGES[index] for index in users.language]
    membership = [MEMBERSHIPS[index] for index in users.membership]
    return list(zip(ids, age, language, membership, strict=True))


def event_rows(rng: np.random.Generator, events: Events, items: Items, users: Users) -> list[tuple[object, ...]]:
    """[num_events] rows of EVENT_COLUMNS."""
    of_item, of_user = item_ids(items), user_ids(users)
    size = len(events.user)
    mood = events.liking + rng.normal(size=size) * MOOD
    depth = np.digitize(mood, DEPTHS)  # 0 view, 1 click, 2 purchase.
    rating = np.clip(np.round(3 + 1.2 * (mood + rng.normal(size=size) * 0.3 - 0.5)), 1, 5).astype(int)
    value = np.where((depth > 0) | (rng.random(size) < 0.3), rating.astype(str), "")
    second = (START.timestamp() + events.time * SPAN_SECONDS).astype(np.int64)
    asked = rng.random(size) < QUERY_FRACTION
    otherwise = rng.random(size) < SYNONYM_FRACTION
    queries = np.where(otherwise, _synonyms(items, users, events), np.array(_queries(items))[events.item])
    rows = zip(
        (of_user[row] for row in events.user.tolist()),
        (of_item[row] for row in events.item.tolist()),
        second.tolist(),
        (EVENT_TYPES[index] for index in depth.tolist()),
        value.tolist(),
        np.where(asked, queries, "").tolist(),
        strict=True,
    )
    return list(rows)


def exposure_rows(events: Events, items: Items, users: Users) -> list[tuple[object, ...]]:
    """Rows of EXPOSURE_COLUMNS: each page on which something was picked, place by place."""
    of_item, of_user = item_ids(items), user_ids(users)
    second = (START.timestamp() + events.time * SPAN_SECONDS).astype(np.int64)
    event, place = np.nonzero(events.page >= 0)
    shown, propensity = events.page[event, place], events.propensity[event, place]
    columns = zip(event.tolist(), place.tolist(), shown.tolist(), propensity.tolist(), strict=True)
    return [
        (
            f"page-{at:06d}",
            of_user[events.user[at]],
            of_item[item],
            second[at],
            where,
            f"{chance:.4g}",
            int(item == events.item[at]),
        )
        for at, where, item, chance in columns
    ]


def _queries(items: Items) -> list[str]:
    """[num_items] what a shopper types who looks for such an item: its style and category, in its language."""
    columns = zip(items.style, items.category, items.language, strict=True)
    return [
        joined(STYLES[style][language][0], CATEGORIES[category].names[language].lower(), language)
        for style, category, language in columns
    ]


def _synonyms(items: Items, users: Users, events: Events) -> list[str]:
    """[num_events] the same in words that no item's text holds, in the shopper's language."""
    columns = zip(items.style[events.item], items.category[events.item], users.language[events.user], strict=True)
    return [synonym(style, category, language) for style, category, language in columns]


def synonym(style: int, category: int, language: int) -> str:
    """What some shoppers type for things of a style and a category."""
    return joined(STYLE_SYNONYMS[style][language], CATEGORIES[category].synonyms[language], language)


def joined(first: str, second: str, language: int) -> str:
    """Two words of a language as it writes them."""
    return (" " if LANGUAGES[language] == "en" else "").join((first, second))


def _iso(time: float) -> str:
    moment = START + datetime.timedelta(seconds=int(time * SPAN_SECONDS))
    return moment.isoformat().replace("+00:00", "Z")
