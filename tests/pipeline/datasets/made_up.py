"""Made-up files in the formats of public datasets, with enough in them to train on."""

import csv
import gzip
import json
import pathlib
from collections.abc import Callable

import numpy as np

NUM_USERS, NUM_ITEMS, EACH = 30, 25, 10
START = 1_573_500_000  # November 2019.


def _picks() -> list[tuple[int, int, int]]:
    """(user, item, second) in the order of time; each user picks items of one half rather than of the other."""
    rng = np.random.default_rng(0)
    found = []
    for user in range(NUM_USERS):
        liked = np.where(np.arange(NUM_ITEMS) % 2 == user % 2, 4.0, 1.0)
        items = rng.choice(NUM_ITEMS, EACH, replace=False, p=liked / liked.sum())
        seconds = START + np.sort(rng.integers(0, 1_000_000, EACH))
        found += [(user, int(item), int(second)) for item, second in zip(items, seconds, strict=True)]
    return sorted(found, key=lambda pick: pick[2])


def mind(folder: pathlib.Path) -> None:
    import datetime

    lines = []
    for number, (user, item, second) in enumerate(_picks()):
        moment = datetime.datetime.fromtimestamp(second, datetime.UTC).strftime("%m/%d/%Y %I:%M:%S %p")
        shown = " ".join(f"N{(item + step) % NUM_ITEMS}-{int(step == 0)}" for step in (3, 0, 1))
        lines.append(f"{number}\tU{user}\t{moment}\tN{(user + 1) % NUM_ITEMS}\t{shown}\n")
    (folder / "behaviors.tsv").write_text("".join(lines), encoding="utf-8")
    news = (f"N{i}\tnews\tpart{i % 2}\tTitle {i}\tAbstract {i}\thttps://…\t[]\t[]\n" for i in range(NUM_ITEMS))
    (folder / "news.tsv").write_text("".join(news), encoding="utf-8")


def amazon(folder: pathlib.Path) -> None:
    reviews = [
        {"rating": float(3 + item % 3), "title": "t", "text": "x", "asin": f"V{item}", "parent_asin": f"B{item}"}
        | {"user_id": f"A{user}", "timestamp": second * 1000, "helpful_vote": 0, "verified_purchase": True}
        for user, item, second in _picks()
    ]
    metas = [
        {"main_category": "All Beauty", "title": f"Cream {item}", "parent_asin": f"B{item}", "store": "Brand"}
        | {"features": [f"kind {item % 2}"], "description": [], "price": 9.5, "categories": [], "details": {}}
        for item in range(NUM_ITEMS)
    ]
    (folder / "All_Beauty.jsonl").write_text("".join(json.dumps(row) + "\n" for row in reviews), encoding="utf-8")
    with gzip.open(folder / "meta_All_Beauty.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in metas)


def book_crossing(folder: pathlib.Path) -> None:
    def write(name: str, rows: list[tuple[object, ...]]) -> None:
        with (folder / name).open("w", encoding="latin-1", newline="") as file:
            csv.writer(file, delimiter=";", quoting=csv.QUOTE_ALL).writerows(rows)

    ratings = [(user, f"{item:010d}", 0 if item % 5 == 0 else 5 + item % 5) for user, item, _ in _picks()]
    books = [(f"{i:010d}", f"Café {i}", "An Author", 1999, "A House", "", "", "") for i in range(NUM_ITEMS)]
    users = [(user, "köln, nordrhein, germany", 20 + user) for user in range(NUM_USERS)]
    write("BX-Book-Ratings.csv", [("User-ID", "ISBN", "Book-Rating"), *ratings])
    write(
        "BX-Books.csv",
        [("ISBN", "Book-Title", "Book-Author", "Year-Of-Publication", "Publisher", "", "", ""), *books],
    )
    write("BX-Users.csv", [("User-ID", "Location", "Age"), *users])


def movielens_1m(folder: pathlib.Path) -> None:
    ratings = (f"{user}::{item}::{3 + item % 3}::{second}\n" for user, item, second in _picks())
    movies = (f"{item}::Film {item}, Les (19{50 + item})::Drama|War\n" for item in range(NUM_ITEMS))
    users = (f"{user}::{'FM'[user % 2]}::{20 + user}::{user % 4}::55105\n" for user in range(NUM_USERS))
    for name, lines in (("ratings", ratings), ("movies", movies), ("users", users)):
        (folder / f"{name}.dat").write_text("".join(lines), encoding="latin-1")


def movielens_latest(folder: pathlib.Path) -> None:
    ratings = (f"{user},{item},{3 + item % 3}.5,{second}\n" for user, item, second in _picks())
    movies = (f'{item},"Film {item}, Les (19{50 + item})",Drama|War\n' for item in range(NUM_ITEMS))
    tags = (f"{user},{item},part {item % 2},{second}\n" for user, item, second in _picks())
    for name, header, lines in (
        ("ratings", "userId,movieId,rating,timestamp", ratings),
        ("movies", "movieId,title,genres", movies),
        ("tags", "userId,movieId,tag,timestamp", tags),
    ):
        (folder / f"{name}.csv").write_text(f"{header}\n{''.join(lines)}", encoding="utf-8")


MADE: dict[str, tuple[str, Callable[[pathlib.Path], None]]] = {
    "mind": ("mind", mind),
    "amazon": ("amazon", amazon),
    "book-crossing": ("book-crossing", book_crossing),
    "movielens-1m": ("movielens", movielens_1m),
    "movielens-latest": ("movielens", movielens_latest),
}
"""Name → verb of `homefeed data`, and what writes the files."""
