"""A simulated log of Chinese restaurants: a few categories, names and addresses as texts, few events of every user.

Who eats where is decided by the district that somebody lives in, which only addresses tell, by a taste for cuisines,
which only names tell, and by how well known a restaurant is. A fifth of the restaurants open late.
"""

from __future__ import annotations

import csv
import datetime
import pathlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from homefeed.schemas.dataset import FILE_NAME

DESCRIPTION = """\
name: restaurants
interactions:
  path: interactions.csv
items:
  path: items.csv
users:
  path: users.csv
"""
CATEGORIES = ("正餐", "小吃", "火锅烧烤", "饮品甜点")
CUISINES = (  # Category, and what names say.
    (0, ("川菜馆", "川味小炒")),
    (0, ("湘菜馆", "湖南土菜")),
    (0, ("粤菜酒家", "广式茶楼")),
    (0, ("东北饺子馆", "东北家常菜")),
    (1, ("兰州拉面", "牛肉面馆")),
    (1, ("沙县小吃", "馄饨铺")),
    (1, ("煎饼摊", "包子铺")),
    (2, ("重庆火锅", "麻辣火锅")),
    (2, ("羊肉串店", "烧烤大排档")),
    (2, ("涮羊肉", "铜锅涮肉")),
    (3, ("奶茶店", "柠檬茶")),
    (3, ("咖啡馆", "烘焙坊")),
)
OWNERS = ("老王", "张记", "李家", "小陈", "刘姐", "福来", "聚贤", "好味", "金龙", "阿婆")
DISTRICTS = (
    ("朝阳区", ("建国路", "望京街", "三里屯路")),
    ("海淀区", ("中关村大街", "学院路", "五道口路")),
    ("东城区", ("王府井大街", "东四北街", "簋街")),
    ("西城区", ("西单北街", "金融街", "德胜门路")),
    ("丰台区", ("方庄路", "马家堡路", "南苑路")),
    ("通州区", ("新华大街", "梨园路", "九棵树街")),
)
START = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
SECONDS = 120 * 24 * 3600
LATE = 0.2  # Share of restaurants that open in the course of the log.

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def write_restaurants(
    out_dir: pathlib.Path, *, num_users: int = 3000, num_items: int = 800, num_events: int = 15_000, seed: int = 0
) -> None:
    """Writes `interactions.csv`, `items.csv`, `users.csv` and `dataset.yaml` into a folder."""
    rng = np.random.default_rng(seed)
    cuisine, district = rng.integers(len(CUISINES), size=num_items), rng.integers(len(DISTRICTS), size=num_items)
    street = rng.integers(3, size=num_items)
    names = [f"{OWNERS[rng.integers(len(OWNERS))]}{CUISINES[kind][1][rng.integers(2)]}" for kind in cuisine]
    addresses = [
        f"北京市{DISTRICTS[place][0]}{DISTRICTS[place][1][way]}{rng.integers(1, 200)}号"
        for place, way in zip(district, street, strict=True)
    ]
    opens = np.where(rng.random(num_items) < LATE, rng.uniform(0.1, 0.95, num_items), 0.0)
    fame = rng.gumbel(size=num_items) * 0.7
    at_home = 3.0 * np.eye(len(DISTRICTS))[rng.integers(len(DISTRICTS), size=num_users)][:, district]
    taste = 1.5 * rng.normal(size=(num_users, len(CUISINES)))[:, cuisine]
    user, item, time = _visits(rng, at_home + taste + fame, opens, num_events)

    out_dir.mkdir(parents=True, exist_ok=True)
    ids = [f"店{row:04d}" for row in range(num_items)]
    of_category = [CATEGORIES[CUISINES[kind][0]] for kind in cuisine]
    items = zip(ids, names, addresses, of_category, strict=True)
    seconds = (START.timestamp() + time * SECONDS).astype(np.int64)
    events = zip((f"u{row:05d}" for row in user), (ids[row] for row in item), seconds, strict=True)
    _write(out_dir / "items.csv", ("item_id", "title", "description", "categories"), list(items))
    _write(out_dir / "users.csv", ("user_id",), [(f"u{row:05d}",) for row in range(num_users)])
    _write(out_dir / "interactions.csv", ("user_id", "item_id", "timestamp"), list(events))
    (out_dir / FILE_NAME).write_text(DESCRIPTION, encoding="utf-8")


def _visits(rng: np.random.Generator, liking: Floats, opens: Floats, num_events: int) -> tuple[Ints, Ints, Floats]:
    """Who eats where and when, in order of time; nobody is counted twice at the same place."""
    num_users = len(liking)
    user = np.concatenate([np.arange(num_users), rng.integers(num_users, size=max(0, num_events - num_users))])
    time = np.sort(rng.random(len(user)))
    user = rng.permutation(user)
    open_now = np.where(opens > time[:, None], -np.inf, 0.0)
    item = np.argmax(liking[user] + open_now + rng.gumbel(size=open_now.shape), axis=1)
    _, first = np.unique(user * liking.shape[1] + item, return_index=True)
    kept = np.sort(first)
    return user[kept], item[kept], time[kept]


def _write(path: pathlib.Path, names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
