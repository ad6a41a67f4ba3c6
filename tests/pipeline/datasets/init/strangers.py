"""Tables as strangers have them: each layout is one that is common, with rows that are made up."""

from __future__ import annotations

import datetime
import json
import pathlib
import random
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq

USERS, ITEMS, EVENTS = 60, 80, 1_500
START = 1_600_000_000
Log = list[tuple[int, int, int]]


def log(draw: random.Random) -> Log:
    """User, item and Unix seconds of events."""
    taste = [[draw.random() ** 3 + 0.01 for _ in range(ITEMS)] for _ in range(USERS)]
    users = [draw.randrange(USERS) for _ in range(EVENTS)]
    return [(u, draw.choices(range(ITEMS), taste[u])[0], START + 900 * n) for n, u in enumerate(users)]


def when(second: int) -> str:
    return datetime.datetime.fromtimestamp(second, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def retail_events(folder: pathlib.Path, draw: random.Random, events: Log) -> None:
    """One log of clicks with milliseconds, as RetailRocket's."""
    kinds = draw.choices(["view", "addtocart", "transaction"], [80, 12, 8], k=len(events))
    rows = [
        f"{at}123,{u + 1000},{kind},{i + 5000},{n if kind == 'transaction' else ''}"
        for n, ((u, i, at), kind) in enumerate(zip(events, kinds, strict=True))
    ]
    head = "timestamp,visitorid,event,itemid,transactionid"
    (folder / "events.csv").write_text("\n".join([head, *rows]) + "\n")


def reviews(folder: pathlib.Path, draw: random.Random, events: Log) -> None:
    """Reviews and products as JSON lines, as Amazon's of 2014."""
    with (folder / "reviews_Toys.json").open("w") as file:
        for n, (u, i, at) in enumerate(events):
            row: dict[str, object] = {"reviewerID": f"A{u:05}", "asin": f"B00{i:04}", "helpful": [n % 3, 3]}
            row |= {"reviewerName": f"Bob {u}", "reviewText": f"I like this thing very much {n}"}
            row |= {"overall": draw.choice([1.0, 3.0, 4.0, 5.0])}
            file.write(json.dumps(row | {"summary": "good", "unixReviewTime": at, "reviewTime": "01 2, 2014"}) + "\n")
    with (folder / "meta_Toys.json").open("w") as file:
        for i in range(ITEMS + 9):
            row = {
                "asin": f"B00{i:04}",
                "title": f"{draw.choice(['Red', 'Big'])} train number {i}",
                "price": i * 0.75,
            }
            row |= {
                "imUrl": f"http://x/{i}.jpg",
                "brand": draw.choice(["Lego", "Hasbro"]),
                "related": {"bought": []},
                "categories": [["Toys", "Trains"], ["Gifts"]],
            }
            file.write(json.dumps(row) + "\n")


def without_names(folder: pathlib.Path, draw: random.Random, events: Log) -> None:
    """Ratings, films and people without a line of names, as MovieLens'."""
    rows = [f"{u + 1}\t{i + 1}\t{draw.choice([1, 2, 3, 4, 4, 5])}\t{at}" for u, i, at in events]
    (folder / "u.data").write_text("\n".join(rows) + "\n")
    films = [f"{i + 1}|Léon and the {draw.choice(['star', 'night'])} {i}|{1950 + i % 50}" for i in range(ITEMS)]
    (folder / "u.item").write_text("\n".join(films) + "\n", encoding="cp1252")
    people = [f"{u + 1}|{20 + u % 50}|{draw.choice('MF')}|{draw.choice(['writer', 'none'])}" for u in range(USERS)]
    (folder / "u.user").write_text("\n".join(people) + "\n")


def chinese(folder: pathlib.Path, draw: random.Random, events: Log) -> None:
    """A shop's log and goods in Chinese, in GB 18030."""
    kinds = draw.choices(["浏览", "收藏", "购买"], [7, 2, 1], k=len(events))
    devices = draw.choices(["手机", "电脑"], k=len(events))
    rows = [f"{u},{i},{k},{when(at)},{d}" for (u, i, at), k, d in zip(events, kinds, devices, strict=True)]
    head = "用户ID,商品ID,行为类型,行为时间,设备"
    (folder / "行为日志.csv").write_text("\n".join([head, *rows]) + "\n", encoding="gb18030")
    goods = [
        f"{i},{draw.choice(['红色', '新款'])}连衣裙第{i}号,{draw.choice(['服装', '鞋'])},{i * 3}"
        for i in range(ITEMS)
    ]
    (folder / "商品.csv").write_text("\n".join(["商品ID,标题,类目,价格", *goods]) + "\n", encoding="gb18030")


def invoices(folder: pathlib.Path, draw: random.Random, events: Log) -> None:
    """Lines of invoices, a fifth of them without a customer, as the Online Retail data."""
    rows = [
        f"{536000 + n // 4};{i + 22000};CAFÉ MUG N°{i};{draw.randrange(1, 30)};{when(at)};{i % 17 + 0.35};"
        f"{'' if draw.random() < 0.2 else f'{u + 12000}.0'};{draw.choice(['France', 'EIRE'])}"
        for n, (u, i, at) in enumerate(events)
    ]
    head = "InvoiceNo;StockCode;Description;Quantity;InvoiceDate;UnitPrice;CustomerID;Country"
    (folder / "Online Retail.csv").write_text("\n".join([head, *rows]) + "\n", encoding="cp1252")


def nested(folder: pathlib.Path, draw: random.Random, events: Log) -> None:
    """A warehouse's Parquet: structs, lists, typed times, several files of rows."""
    users = [{"id": f"u-{u}", "country": "DE" if u % 3 else "FR"} for u, _, _ in events]
    times = pa.array([at * 10**6 for _, _, at in events], pa.timestamp("us", "UTC"))
    clicks = {"user": users, "articleId": [f"n{i}" for _, i, _ in events], "clickedAt": times}
    clicks["dwell"] = [draw.random() * 100 for _ in events]
    pq.write_table(pa.table(clicks), folder / "clicks.parquet")
    articles = {"id": [f"n{i}" for i in range(ITEMS)], "headline": [f"What {i} people say" for i in range(ITEMS)]}
    articles["topics"] = [[draw.choice(["sport", "law"]), "all"] for _ in range(ITEMS)]
    articles["publishedAt"] = pa.array(
        [(START - 86_400 * i) * 10**6 for i in range(ITEMS)], pa.timestamp("us", "UTC")
    )
    pq.write_table(pa.table(articles), folder / "articles.parquet")


LAYOUTS: dict[str, Callable[[pathlib.Path, random.Random, Log], None]] = {
    "retail events": retail_events,
    "reviews": reviews,
    "without names": without_names,
    "chinese": chinese,
    "invoices": invoices,
    "nested": nested,
}


def write(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Makes a layout in a folder."""
    draw = random.Random(7)
    folder.mkdir(parents=True, exist_ok=True)
    LAYOUTS[name](folder, draw, log(draw))
    return folder
