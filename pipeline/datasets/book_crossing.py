"""Book-Crossing: 1.1 million ratings of 270,000 books, crawled in 2004 (Ziegler et al., 2005).

It may be used freely for research that names its source.
"""

from __future__ import annotations

import csv
import datetime
import html
import pathlib
from collections.abc import Iterator

from homefeed.components.example_gen.splits import unit_hash
from homefeed.pipeline.datasets.on_disk import find, read_text, write_dataset

LICENCE = "Book-Crossing: free for research that cites Ziegler et al., 2005."
FILES = {"ratings": "BX-Book-Ratings.csv", "books": "BX-Books.csv", "users": "BX-Users.csv"}
MONTH_SECONDS = 30 * 24 * 3600
CRAWLED = int(datetime.datetime(2004, 8, 1, tzinfo=datetime.UTC).timestamp())
MAX_AGE = 110
DESCRIPTION = f"""\
# Book-Crossing, http://www2.informatik.uni-freiburg.de/~cziegler/BX/ (research use that names its source). Nothing
# says when a book was read: each row has a second of the month of the crawl that depends on its ids alone, so that
# the temporal split is a random one.
name: book-crossing
interactions:
  path: interactions.csv
  features:
    value: {{kind: number, min: 1, max: 10}}  # None where a book was read and not rated.
items:
  path: items.csv
  features:
    author: {{kind: category}}
    publisher: {{kind: category}}
users:
  path: users.csv
  features:
    age: {{kind: number, min: 0, max: {MAX_AGE}}}
    country: {{kind: category}}
positive:
  min_value: 7
max_unmatched_fraction: 0.15  # A tenth of the ratings are of books that the table of books lacks.
"""


def write_book_crossing(out_dir: pathlib.Path | str, source: pathlib.Path | str) -> str:
    """Makes interactions, items and users of the three `BX-….csv`: in Latin-1, quoted, with semicolons.

    Args:
        out_dir: gets the tables and `dataset.yaml`.
        source: folder of the unpacked archive.

    Returns:
        What was made, for people.

    Raises:
        DatasetError: the folder or a file is not there.
    """
    path = {name: find(source, file)[0] for name, file in FILES.items()}
    tables = {
        "interactions": (("user_id", "item_id", "timestamp", "value"), _interactions(path["ratings"])),
        "items": (("item_id", "title", "author", "publisher"), _items(path["books"])),
        "users": (("user_id", "age", "country"), _users(path["users"])),
    }
    counts = write_dataset(out_dir, DESCRIPTION, tables)
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _interactions(path: pathlib.Path) -> Iterator[tuple[str, str, int, str]]:
    for user, isbn, rating in _rows(path):
        second = CRAWLED + int(unit_hash(f"{user} {isbn}") * MONTH_SECONDS)
        yield user, isbn, second, "" if rating == "0" else rating


def _items(path: pathlib.Path) -> Iterator[tuple[str, str, str, str]]:
    """From ISBN, title, author, year, publisher and addresses of images; HTML's entities become letters."""
    for isbn, title, author, _, publisher, *_ in _rows(path):
        yield isbn, html.unescape(title), html.unescape(author), html.unescape(publisher)


def _users(path: pathlib.Path) -> Iterator[tuple[str, str, str]]:
    """The city, which says more of a person than a model should know, is left out; so are ages that cannot be."""
    for user, location, age in _rows(path):
        years = age if age.isdigit() and 0 < int(age) <= MAX_AGE else ""
        yield user, years, location.rpartition(",")[2].strip()


def _rows(path: pathlib.Path) -> Iterator[list[str]]:
    with read_text(path, "latin-1") as file:
        reader = csv.reader(file, delimiter=";", escapechar="\\")
        next(reader)
        yield from reader
