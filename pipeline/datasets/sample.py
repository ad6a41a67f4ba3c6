"""A simulated store whose shoppers' taste is known: small, in English and Chinese, and free to share.

How a shopper picks the next item, which is what a recommender should find out:

1. *A category*: half of the time by a lasting taste, which goes with age, and half of the time by what was
   picked last (who picked a tent needs a torch), so that recent history matters.
2. *An item of it*: by taste for its style and material, which only title and description tell; by price, by
   language, by what is popular or new; and in the same style as the item before.

Nobody picks the same item twice. Some items and some shoppers come late, so that cold start can be measured.
`truth.json` keeps what was hidden; no part of the pipeline reads it.

`write_weeks` writes a store that changes, a span a week: taste drifts, items come and go out of fashion, and new
items and shoppers come all the time.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import json
import pathlib
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from homefeed.schemas.dataset import FILE_NAME

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class _Category:
    names: tuple[str, str]  # In each of LANGUAGES, as all the pairs below.
    nouns: tuple[tuple[str, ...], tuple[str, ...]]
    uses: tuple[tuple[str, ...], tuple[str, ...]]


LANGUAGES = ("en", "zh")
CATEGORIES = (
    _Category(
        ("Lighting", "灯具"),
        (("lamp", "lantern", "chandelier", "desk light"), ("台灯", "灯笼", "吊灯", "阅读灯")),
        (("reading in bed", "long winter evenings"), ("睡前阅读", "漫长的冬夜")),
    ),
    _Category(
        ("Furniture", "家具"),
        (("chair", "bookshelf", "table", "stool"), ("椅子", "书架", "桌子", "凳子")),
        (("small flats", "the family dinner"), ("小户型", "全家聚餐")),
    ),
    _Category(
        ("Kitchen", "厨房"),
        (("teapot", "pan", "knife", "bowl"), ("茶壶", "平底锅", "菜刀", "汤碗")),
        (("slow cooking", "tea with friends"), ("慢炖", "与朋友喝茶")),
    ),
    _Category(
        ("Camping", "露营"),
        (("tent", "sleeping bag", "camp stove", "backpack"), ("帐篷", "睡袋", "野营炉", "背包")),
        (("a night in the mountains", "rainy trails"), ("山中过夜", "雨中徒步")),
    ),
    _Category(
        ("Clothing", "服装"),
        (("jacket", "scarf", "dress", "shirt"), ("夹克", "围巾", "连衣裙", "衬衫")),
        (("cold mornings", "a walk in town"), ("寒冷的早晨", "城市漫步")),
    ),
    _Category(
        ("Garden", "园艺"),
        (("planter", "watering can", "bench", "bird house"), ("花盆", "洒水壶", "长椅", "鸟屋")),
        (("herbs on the balcony", "the first spring day"), ("阳台香草", "春天的第一天")),
    ),
    _Category(
        ("Games", "游戏"),
        (("chess set", "puzzle", "card game", "dice tower"), ("棋盘", "拼图", "纸牌", "骰塔")),
        (("two patient players", "noisy parties"), ("两位耐心的玩家", "热闹的聚会")),
    ),
    _Category(
        ("Music", "音乐"),
        (("guitar", "flute", "drum", "music box"), ("吉他", "长笛", "小鼓", "八音盒")),
        (("first lessons", "playing on the road"), ("入门课程", "旅途演奏")),
    ),
)
STYLES = (
    (("rustic", "weathered"), ("乡村风", "做旧")),
    (("minimalist", "plain"), ("极简", "素净")),
    (("vintage", "retro"), ("复古", "怀旧")),
    (("playful", "colourful"), ("俏皮", "多彩")),
    (("elegant", "refined"), ("优雅", "精致")),
    (("industrial", "rugged"), ("工业风", "硬朗")),
)
MATERIALS = (
    ("oak", "橡木"),
    ("steel", "钢"),
    ("linen", "亚麻"),
    ("ceramic", "陶瓷"),
    ("bamboo", "竹"),
    ("leather", "皮革"),
    ("glass", "玻璃"),
)
BRANDS = (
    "Nordlys",
    "Aokawa",
    "Meridian",
    "Taohua",
    "Brightwell",
    "Kumo",
    "Santal",
    "Ferrum",
    "Lumen",
    "Yunduan",
)
MEMBERSHIPS = ("none", "silver", "gold")
EVENT_TYPES = ("view", "click", "purchase")
ITEM_COLUMNS = ("item_id", "title", "description", "categories", "language", "available_from", "brand", "price")
USER_COLUMNS = ("user_id", "age", "language", "membership")
EVENT_COLUMNS = ("user_id", "item_id", "timestamp", "event_type", "value", "query")

START = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
SPAN_SECONDS = 90 * 24 * 3600
LATE_FRACTION = 0.1  # Of items and of users.
LATE_ITEMS_FROM = 0.7  # As a part of the time span.
LATE_USERS_FROM = 0.85
WEEK_SECONDS = 7 * 24 * 3600
DRIFT = 1.5  # How far the fashion of an item moves between the first and the last day, in standard deviations.
MISSING_FRACTION = 0.05  # Of ages and descriptions.
QUERY_FRACTION = 0.15
NUM_CONSIDERED = 24  # Items that a shopper looks at before picking one.

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


@dataclasses.dataclass(frozen=True)
class _Items:
    """Arrays are [num_items]."""

    category: Ints
    style: Ints
    material: Ints
    language: Ints
    log_price: Floats  # About standard normal.
    appeal: Floats  # Popularity with everybody, as a logit.
    available_from: Floats  # Part of the time span; 0: from the start.


@dataclasses.dataclass(frozen=True)
class _Users:
    """Arrays are [num_users, …]."""

    age: Floats
    language: Ints
    membership: Ints
    categories: Floats  # [num_users, num_categories], rows sum to 1.
    styles: Floats  # [num_users, num_styles] logits.
    materials: Floats  # [num_users, num_materials] logits.
    log_price: Floats  # What they like to spend.
    joins: Floats  # Part of the time span.


@dataclasses.dataclass(frozen=True)
class _Drift:
    """What the store has become on its last day."""

    users: _Users  # The same people with another taste.
    trend: Floats  # [num_items] logits by which an item comes into or goes out of fashion.


@dataclasses.dataclass(frozen=True)
class _Events:
    """Arrays are [num_events], in order of time."""

    user: Ints
    item: Ints
    time: Floats  # Part of the time span.
    liking: Floats  # About standard normal: what the rating and the event type come from.


def write_sample(
    out_dir: pathlib.Path | str,
    *,
    num_users: int = 300,
    num_items: int = 400,
    num_events: int = 12_000,
    seed: int = 0,
) -> str:
    """Simulates a store and writes its three tables, `dataset.yaml` and `truth.json` into a folder.

    The same arguments give the same bytes.

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
    items, users = _make_items(rng, num_items), _make_users(rng, num_users)
    transitions = _make_transitions(rng)
    for patience in (2, 4, 8, 16):  # The smaller the store, the more often a shopper meets what they have had.
        events = _simulate(rng, items, users, transitions, num_events, patience)
        if len(events.user) == num_events:
            break

    out = pathlib.Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    item_ids = [f"{('item-', '商品-')[lang]}{row:04d}" for row, lang in enumerate(items.language.tolist())]
    user_ids = [f"user-{row:04d}" for row in range(num_users)]
    _write_csv(out / "items.csv", ITEM_COLUMNS, _item_rows(rng, items, item_ids))
    _write_csv(out / "users.csv", USER_COLUMNS, _user_rows(rng, users, user_ids))
    _write_csv(out / "interactions.csv", EVENT_COLUMNS, _event_rows(rng, events, items, item_ids, user_ids))
    _write_truth(out / "truth.json", items, users, transitions, item_ids, user_ids)
    (out / FILE_NAME).write_text(DESCRIPTION, encoding="utf-8")
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
    items = dataclasses.replace(
        _make_items(rng, num_items), available_from=_arrivals(rng, num_items, 0.4, always=len(CATEGORIES))
    )
    users = dataclasses.replace(_make_users(rng, num_users), joins=_arrivals(rng, num_users, 0.5, always=1))
    other = _make_users(rng, num_users)
    later = dataclasses.replace(
        users, categories=other.categories, styles=other.styles, materials=(users.materials + other.materials) / 2
    )
    drift = _Drift(later, rng.normal(size=num_items) * DRIFT)
    events = _simulate(rng, items, users, _make_transitions(rng), num_events, patience=4, drift=drift)
    item_ids = [f"{('item-', '商品-')[lang]}{row:04d}" for row, lang in enumerate(items.language.tolist())]
    user_ids = [f"user-{row:04d}" for row in range(num_users)]
    tables = {
        "items": (ITEM_COLUMNS, _item_rows(rng, items, item_ids), items.available_from),
        "users": (USER_COLUMNS, _user_rows(rng, users, user_ids), users.joins),
        "interactions": (EVENT_COLUMNS, _event_rows(rng, events, items, item_ids, user_ids), events.time),
    }
    out = pathlib.Path(out_dir)
    spans = []
    for week in range(num_weeks):
        spans.append((START + datetime.timedelta(weeks=week)).date().isoformat())
        start, end = (edge * WEEK_SECONDS / SPAN_SECONDS for edge in (week, week + 1))
        for table, (columns, rows, times) in tables.items():
            within = (times < end) & ((times >= start) | (table != "interactions"))
            chosen = [rows[row] for row in np.flatnonzero(within)]
            if table == "interactions":
                chosen = _poison(chosen, (poisoned or {}).get(week + 1, ""), item_ids)
            (out / table).mkdir(parents=True, exist_ok=True)
            _write_csv(out / table / f"{spans[-1]}.csv", columns, chosen)
    description = DESCRIPTION.replace("name: sample", "name: sample-weeks")
    for table in tables:
        description = description.replace(f"path: {table}.csv", f"path: {table}/{{SPAN}}.csv")
    (out / FILE_NAME).write_text(description, encoding="utf-8")
    return spans


def _arrivals(rng: np.random.Generator, size: int, late_fraction: float, always: int) -> Floats:
    """[size] parts of the time span at which somebody or something comes; the first `always` are there all along."""
    late = rng.random(size) < late_fraction
    late[:always] = False
    return np.where(late, rng.uniform(0.05, 0.95, size), 0.0)


def _poison(rows: list[tuple[object, ...]], poison: str, item_ids: list[str]) -> list[tuple[object, ...]]:
    place = EVENT_COLUMNS.index("event_type" if poison == "schema" else "item_id")
    if poison == "schema":
        return [(*row[:place], f"EVT_{str(row[place]).upper()}", *row[place + 1 :]) for row in rows]
    if poison == "ids":
        mixed = dict(zip(item_ids, np.random.default_rng(1).permutation(item_ids).tolist(), strict=True))
        return [(*row[:place], mixed[str(row[place])], *row[place + 1 :]) for row in rows]
    return rows


def _make_items(rng: np.random.Generator, size: int) -> _Items:
    late = rng.random(size) < LATE_FRACTION
    late[: len(CATEGORIES)] = False  # These are one of each category: something can always be picked.
    return _Items(
        category=np.arange(size) % len(CATEGORIES),
        style=rng.integers(len(STYLES), size=size),
        material=rng.integers(len(MATERIALS), size=size),
        language=(rng.random(size) < 0.4).astype(np.int64),
        log_price=rng.normal(size=size),
        appeal=rng.gumbel(size=size) * 0.7,
        available_from=np.where(late, rng.uniform(LATE_ITEMS_FROM, 0.95, size), 0.0),
    )


def _make_users(rng: np.random.Generator, size: int) -> _Users:
    age = np.clip(rng.gamma(9.0, 4.0, size), 16, 90).round()
    by_age = rng.normal(size=(3, len(CATEGORIES))) * 1.5
    group = np.digitize(age, (28, 45))
    logits = by_age[group] + rng.gumbel(size=(size, len(CATEGORIES)))
    spends = rng.normal(size=size)
    late = rng.random(size) < LATE_FRACTION
    late[0] = False  # A store of one shopper has events all along.
    return _Users(
        age=age,
        language=(rng.random(size) < 0.4).astype(np.int64),
        membership=np.digitize(spends + rng.normal(size=size) * 0.5, (0.3, 1.3)),
        categories=np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True),
        styles=rng.normal(size=(size, len(STYLES))) * 1.5,
        materials=rng.normal(size=(size, len(MATERIALS))),
        log_price=spends,
        joins=np.where(late, rng.uniform(LATE_USERS_FROM, 0.97, size), rng.uniform(0, 0.3, size)),
    )


def _make_transitions(rng: np.random.Generator) -> Floats:
    """[num_categories, num_categories]: each category has one other that mostly follows it."""
    count = len(CATEGORIES)
    ring = rng.permutation(count)
    transitions = np.full((count, count), 0.15 / count)
    np.fill_diagonal(transitions, 0.25 + 0.15 / count)
    transitions[ring, np.roll(ring, -1)] += 0.6
    return transitions


def _simulate(
    rng: np.random.Generator,
    items: _Items,
    users: _Users,
    transitions: Floats,
    num_events: int,
    patience: int,
    drift: _Drift | None = None,
) -> _Events:
    """Lets every shopper pick one item after the other; all shoppers take their nth step at once.

    Of `patience` × `num_events` picks, repeats and the surplus are dropped; fewer than asked for may be left.
    """
    num_users = len(users.age)
    budget = _share_out(rng, num_events * patience, num_users, len(items.category))
    order = np.argsort(-budget, kind="stable")  # The busiest first, so that those still active are a prefix.
    clock = users.joins.copy()
    pace = 2.0 * (1 - users.joins) / budget
    last_item = np.full(num_users, -1)
    shelves = [np.flatnonzero(items.category == category) for category in range(len(CATEGORIES))]
    weights = [np.exp(items.appeal[shelf]) for shelf in shelves]
    steps: list[tuple[npt.NDArray[np.generic], ...]] = []
    for step in range(int(budget.max())):
        who = order[: np.searchsorted(-budget[order], -step)]  # Those with more than `step` events to go.
        in_session = rng.random(len(who)) < 0.5
        clock[who] += np.where(in_session, 60.0 / SPAN_SECONDS, pace[who]) * rng.exponential(size=len(who))
        who = who[clock[who] < 1]
        if not len(who):
            continue
        now = clock[who][:, None]
        taste = users.categories[who]
        if drift:
            taste = (1 - now) * taste + now * drift.users.categories[who]
        category = _pick_category(rng, taste, transitions, items.category, last_item[who])
        considered = np.empty((len(who), NUM_CONSIDERED), np.int64)
        for index, (shelf, weight) in enumerate(zip(shelves, weights, strict=True)):
            here = category == index
            size = (int(here.sum()), NUM_CONSIDERED)
            considered[here] = shelf[rng.choice(len(shelf), size, p=weight / weight.sum())]
        # Rows 0 … are one item of each category, there from the start: a way out where all else is yet to come.
        none_there = np.all(items.available_from[considered] > clock[who][:, None], axis=1)
        considered[:, 0] = np.where(none_there, category, considered[:, 0])
        liking = _liking(items, users, who[:, None], considered)
        if drift:
            liking = (1 - now) * liking + now * _liking(items, drift.users, who[:, None], considered)
        pull = liking * 1.5 + _moment(items, considered, last_item[who], clock[who])
        if drift:
            pull += drift.trend[considered] * (now - 0.5)
        best = np.argmax(pull + rng.gumbel(size=pull.shape), axis=1)
        rows = np.arange(len(who))
        last_item[who] = considered[rows, best]
        steps.append((who, last_item[who], clock[who], liking[rows, best]))
    user, item, time, liking = (np.concatenate(column) for column in zip(*steps, strict=True))
    _, first = np.unique(user.astype(np.int64) * len(items.category) + item.astype(np.int64), return_index=True)
    kept = _keep(rng, user[first].astype(np.int64), num_events)
    chosen = first[kept]
    chosen = chosen[np.lexsort((user[chosen], time[chosen]))]
    return _Events(
        user[chosen].astype(np.int64),
        item[chosen].astype(np.int64),
        time[chosen].astype(np.float64),
        liking[chosen].astype(np.float64),
    )


def _share_out(rng: np.random.Generator, total: int, num_users: int, num_items: int) -> Ints:
    """[num_users] events each, a few shoppers with very many, as in life."""
    share = np.exp(rng.normal(size=num_users) * 0.7)
    return np.clip(np.ceil(total * share / share.sum()), 2, num_items * 8).astype(np.int64)


def _keep(rng: np.random.Generator, user: Ints, num_events: int) -> Ints:
    """Positions of `num_events` events (or all, if fewer), with at least one of every user who has any."""
    _, first = np.unique(user, return_index=True)
    rest = np.setdiff1d(np.arange(len(user)), first)
    num_rest = min(max(num_events - len(first), 0), len(rest))
    return np.concatenate([first, rng.choice(rest, num_rest, replace=False)])


def _pick_category(
    rng: np.random.Generator, taste: Floats, transitions: Floats, category: Ints, last_item: Ints
) -> Ints:
    """[num_picking]: from lasting taste, then from the mean of taste and what follows the last pick."""
    follows = np.where((last_item >= 0)[:, None], transitions[category[last_item]], taste)
    cumulative = np.cumsum((taste + follows) / 2, axis=1)
    return (rng.random(len(taste))[:, None] > cumulative[:, :-1]).sum(axis=1)


def _liking(items: _Items, users: _Users, who: Ints, item: Ints) -> Floats:
    """How well items suit users in the long run, in about standard deviations; the arguments broadcast."""
    taste = users.styles[who, items.style[item]] + users.materials[who, items.material[item]]
    price = -np.abs(users.log_price[who] - items.log_price[item])
    language = np.where(users.language[who] == items.language[item], 1.0, -1.0)
    return (taste + price + language + 1.0) / 2.2


def _moment(items: _Items, considered: Ints, last_item: Ints, now: Floats) -> Floats:
    """What speaks for items just now: the style of the last pick, and being new; not there yet: never."""
    same_style = (items.style[considered] == items.style[last_item][:, None]) & (last_item >= 0)[:, None]
    since = now[:, None] - items.available_from[considered]
    new = (items.available_from[considered] > 0) & (since < 0.1)
    return np.where(since < 0, -np.inf, 1.5 * same_style + 1.0 * new)


def _item_rows(rng: np.random.Generator, items: _Items, item_ids: list[str]) -> list[tuple[object, ...]]:
    size = len(item_ids)
    noun, use, word = rng.integers(4, size=size), rng.integers(2, size=size), rng.integers(2, size=(size, 2))
    brand = rng.integers(len(BRANDS), size=size)
    price = np.exp(3.5 + 0.8 * items.log_price)
    silent = rng.random(size) < MISSING_FRACTION
    rows: list[tuple[object, ...]] = []
    for row, item_id in enumerate(item_ids):
        language = int(items.language[row])
        category = CATEGORIES[items.category[row]]
        thing = category.nouns[language][noun[row]]
        style = STYLES[items.style[row]][language]
        material = MATERIALS[items.material[row]][language]
        adjective, other = style[word[row, 0]], style[word[row, 1]]
        purpose = category.uses[language][use[row]]
        if LANGUAGES[language] == "en":
            title = f"{BRANDS[brand[row]]} {adjective} {material} {thing}"
            text = f"A {other} {thing} made of {material}, for {purpose}."
        else:
            title = f"{BRANDS[brand[row]]} {adjective}{material}{thing}"
            text = f"这款{other}的{thing}以{material}制成，适合{purpose}。"
        rows.append(
            (
                item_id,
                title,
                "" if silent[row] else text,
                category.names[0],
                LANGUAGES[language],
                _iso(items.available_from[row]) if items.available_from[row] else "",
                BRANDS[brand[row]],
                f"{price[row]:.2f}",
            )
        )
    return rows


def _user_rows(rng: np.random.Generator, users: _Users, user_ids: list[str]) -> list[tuple[object, ...]]:
    unknown = rng.random(len(user_ids)) < MISSING_FRACTION
    age = ["" if missing else f"{years:.0f}" for missing, years in zip(unknown, users.age, strict=True)]
    language = [LANGUAGES[index] for index in users.language]
    membership = [MEMBERSHIPS[index] for index in users.membership]
    return list(zip(user_ids, age, language, membership, strict=True))


def _event_rows(
    rng: np.random.Generator, events: _Events, items: _Items, item_ids: list[str], user_ids: list[str]
) -> list[tuple[object, ...]]:
    size = len(events.user)
    mood = events.liking + rng.normal(size=size) * 0.5
    depth = np.digitize(mood, (0.2, 1.2))  # 0 view, 1 click, 2 purchase.
    rating = np.clip(np.round(3 + 1.2 * (mood + rng.normal(size=size) * 0.3 - 0.5)), 1, 5).astype(int)
    value = np.where((depth > 0) | (rng.random(size) < 0.3), rating.astype(str), "")
    second = (START.timestamp() + events.time * SPAN_SECONDS).astype(np.int64)
    queries = _queries(items)
    asked = rng.random(size) < QUERY_FRACTION
    rows = zip(
        (user_ids[row] for row in events.user.tolist()),
        (item_ids[row] for row in events.item.tolist()),
        second.tolist(),
        (EVENT_TYPES[index] for index in depth.tolist()),
        value.tolist(),
        (queries[row] if ask else "" for row, ask in zip(events.item.tolist(), asked.tolist(), strict=True)),
        strict=True,
    )
    return list(rows)


def _queries(items: _Items) -> list[str]:
    """[num_items] what a shopper types who looks for such an item: its category and style."""
    queries = []
    for category, style, language in zip(items.category, items.style, items.language, strict=True):
        words = (STYLES[style][language][0], CATEGORIES[category].names[language].lower())
        queries.append((" " if LANGUAGES[language] == "en" else "").join(words))
    return queries


def _write_truth(
    path: pathlib.Path,
    items: _Items,
    users: _Users,
    transitions: Floats,
    item_ids: list[str],
    user_ids: list[str],
) -> None:
    def plain(table: _Items | _Users) -> dict[str, object]:
        columns = dataclasses.asdict(table)
        return {name: np.round(column, 4).tolist() for name, column in columns.items()}

    truth = {
        "categories": [category.names[0] for category in CATEGORIES],
        "styles": [style[0][0] for style in STYLES],
        "materials": [material[0] for material in MATERIALS],
        "transitions": np.round(transitions, 4).tolist(),
        "items": {"item_id": item_ids} | plain(items),
        "users": {"user_id": user_ids} | plain(users),
    }
    path.write_text(json.dumps(truth, ensure_ascii=False) + "\n", encoding="utf-8")


def _iso(time: float) -> str:
    moment = START + datetime.timedelta(seconds=int(time * SPAN_SECONDS))
    return moment.isoformat().replace("+00:00", "Z")


def _write_csv(path: pathlib.Path, names: Iterable[str], rows: Iterable[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
