"""MovieLens of every size: ratings of films and, in some, the tags that people gave them (Harper and Konstan, 2015).

Their licences allow research, and no commercial use or redistribution without GroupLens' permission.
"""

from __future__ import annotations

import collections
import csv
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from homefeed.pipeline.datasets.movielens import write_movielens_100k
from homefeed.pipeline.datasets.on_disk import fields, find, read_text, write_dataset

LICENCE = "MovieLens: for research, not for commercial use, not to be redistributed (GroupLens' licence)."
MAX_TAGS = 10  # Of a film, those that most people gave it.
DESCRIPTION = """\
# MovieLens, https://grouplens.org/datasets/movielens (research use; not to be redistributed). The description of a
# film is its most frequent tags.
name: movielens
interactions:
  path: interactions.csv
items:
  path: items.csv
  features:
    release_year: {kind: category}
positive:
  min_value: 4
"""
USERS = """\
users:
  path: users.csv
  features:
    age: {kind: number, min: 0, max: 120}
    gender: {kind: category, domain: [F, M]}
    occupation: {kind: category}
"""

Rows = Iterator[Sequence[str]]


class _Files(NamedTuple):
    """One release, as rows of fields in GroupLens' order."""

    ratings: Iterable[Sequence[str]]  # User, film, rating, second.
    movies: Iterable[Sequence[str]]  # Film, title, genres.
    tags: Iterable[Sequence[str]]  # User, film, tag, second.
    users: pathlib.Path | None


def write_movielens(out_dir: pathlib.Path | str, source: pathlib.Path | str) -> str:
    """Makes the tables of a release: 100K (`u.data`), 1M and 10M (`ratings.dat`), or 20M, 25M, 32M, latest (CSV).

    Args:
        out_dir: gets the tables and `dataset.yaml`.
        source: folder of the unpacked archive.

    Returns:
        What was made, for people.

    Raises:
        DatasetError: the folder or a file is not there.
    """
    ratings = find(source, "u.data", "ml-100k.inter", "ratings.dat", "ratings.csv")[0]
    if ratings.name in ("u.data", "ml-100k.inter"):
        return write_movielens_100k(out_dir, str(ratings.parent))
    files = _read(ratings.parent, ratings.suffix)
    tables: dict[str, tuple[Iterable[str], Iterable[Iterable[object]]]] = {
        "interactions": (
            ("user_id", "item_id", "timestamp", "value"),
            ((user, film, second, value) for user, film, value, second, *_ in files.ratings),
        ),
        "items": (
            ("item_id", "title", "description", "categories", "release_year"),
            _items(files.movies, _most_given(files.tags)),
        ),
    }
    if files.users:
        people = ((user, age, gender, work) for user, gender, age, work, *_ in fields(files.users, "::", "latin-1"))
        tables["users"] = ("user_id", "age", "gender", "occupation"), people
    counts = write_dataset(out_dir, DESCRIPTION + (USERS if files.users else ""), tables)
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _read(folder: pathlib.Path, suffix: str) -> _Files:
    """The files of a folder: `.dat` with `::` and no header, the films' of 1M in Latin-1, or `.csv` in UTF-8."""
    movies, tags, users = (folder / f"{name}{suffix}" for name in ("movies", "tags", "users"))
    find(folder, movies.name)
    if suffix == ".csv":
        return _Files(_csv(folder / "ratings.csv"), _csv(movies), _csv(tags) if tags.is_file() else (), None)
    of_films = fields(movies, "::", "utf-8" if tags.is_file() else "latin-1")
    of_tags: Iterable[Sequence[str]] = fields(tags, "::") if tags.is_file() else ()
    return _Files(fields(folder / "ratings.dat", "::"), of_films, of_tags, users if users.is_file() else None)


def _csv(path: pathlib.Path) -> Rows:
    with read_text(path) as file:
        rows = csv.reader(file)
        next(rows)
        yield from rows


def _most_given(tags: Iterable[Sequence[str]]) -> dict[str, str]:
    """Film → its most frequent tags, in one text; of equally frequent ones those that came first."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for _, film, tag, *_ in tags:
        counts[film][tag.strip().lower()] += 1
    return {film: ", ".join(tag for tag, _ in counted.most_common(MAX_TAGS)) for film, counted in counts.items()}


def _items(movies: Iterable[Sequence[str]], tags: dict[str, str]) -> Iterator[tuple[str, str, str, str, str]]:
    for film, title, genres, *_ in movies:
        years = re.findall(r"\((\d{4})\)", title)
        known = "" if genres == "(no genres listed)" else genres
        yield film, title.strip(), tags.get(film, ""), known, years[-1] if years else ""
