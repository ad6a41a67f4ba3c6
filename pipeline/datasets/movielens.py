"""MovieLens-100K: 100,000 ratings of 1,682 films by 943 people, 1997–1998 (Harper and Konstan, 2015).

Its licence forbids redistribution, so it is fetched from where the user may have it, and never shipped.
"""

from __future__ import annotations

import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from homefeed.pipeline.datasets.on_disk import write_csv
from homefeed.schemas.dataset import FILE_NAME, DatasetError

URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
MD5 = "0e33842e24a9c977be4e0107933c0723"  # Published beside the archive.
TIMEOUT_SECONDS = 30

RECBOLE = "recbole==1.2.1"  # Its wheel carries the data in the "atomic" format: fetched, never installed.
RECBOLE_SHA256 = {
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
}

GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""In the order of the flags that end a line of `u.item`."""

DESCRIPTION = f"""\
# MovieLens-100K, https://grouplens.org/datasets/movielens/100k/ (research use; not to be redistributed).
name: movielens-100k
interactions:
  path: interactions.csv  # In the archive's order: most ratings share their second with another of the user.
items:
  path: items.csv
  features:
    categories: {{kind: categories, domain: [{", ".join(f'"{genre}"' for genre in GENRES)}]}}
    release_year: {{kind: category}}
users:
  path: users.csv
  features:
    age: {{kind: number, min: 0, max: 120}}
    gender: {{kind: category, domain: [F, M]}}
    occupation: {{kind: category}}
positive:
  min_value: 4
"""


class Interaction(NamedTuple):
    """One rating, 1 to 5."""

    user_id: str
    item_id: str
    timestamp: str  # Unix seconds.
    value: str


class Item(NamedTuple):
    """One film."""

    item_id: str
    title: str  # "Toy Story (1995)".
    categories: str  # Genres, `|`-separated.
    release_year: str  # "" where unknown.


class User(NamedTuple):
    """One person. The archive also has a zip code, which says more of a person than a model should know."""

    user_id: str
    age: str
    gender: str
    occupation: str


class _Tables(NamedTuple):
    interactions: Iterable[Interaction]
    items: Iterable[Item]
    users: Iterable[User]


ReadMember = Callable[[str], bytes]
"""Content of a file by its name without folders. Raises KeyError where there is none."""


def write_movielens_100k(out_dir: pathlib.Path | str, source: str | None = None) -> str:
    """Makes `interactions.csv`, `items.csv`, `users.csv` and `dataset.yaml` in a folder.

    Args:
        out_dir: made where it does not exist.
        source: GroupLens' archive as a zip file or URL, or a folder of `u.data`, `u.item`, `u.user` or of
            `ml-100k.inter`, `.item`, `.user` (RecBole's format). None: from GroupLens, and where that is out
            of reach, from the copy in RecBole's wheel on PyPI.

    Returns:
        Where the data came from, for people.

    Raises:
        DatasetError: the source cannot be had, is damaged, or does not hold the data.
    """
    if source is None:
        origin, read = _fetch()
    elif source.startswith(("http://", "https://")):
        origin, read = source, _zip_reader(_download(source, MD5 if source == URL else None))
    else:
        origin, read = source, _local_reader(pathlib.Path(source).expanduser())
    tables = _read_tables(read, origin)
    out = pathlib.Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "interactions.csv", Interaction._fields, tables.interactions)
    write_csv(out / "items.csv", Item._fields, tables.items)
    write_csv(out / "users.csv", User._fields, tables.users)
    (out / FILE_NAME).write_text(DESCRIPTION, encoding="utf-8")
    return origin


def _fetch() -> tuple[str, ReadMember]:
    """From GroupLens, or else from RecBole's wheel."""
    try:
        return URL, _zip_reader(_download(URL, MD5))
    except DatasetError as grouplens_error:
        try:
            return f"the wheel of {RECBOLE} on PyPI", _recbole_reader()
        except DatasetError as pypi_error:
            raise DatasetError(
                f"MovieLens-100K cannot be fetched. GroupLens: {grouplens_error} PyPI: {pypi_error} "
                f"Fetch {URL} by other means and name it with --from."
            ) from pypi_error


def _download(url: str, md5: str | None) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            content: bytes = response.read()
    except (urllib.error.URLError, OSError) as error:
        raise DatasetError(f"{url} cannot be downloaded: {error}.") from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 is not None and found != md5:
        raise DatasetError(f"{url} is damaged or was replaced: its MD5 is {found}, expected {md5}.")
    return content


def _recbole_reader() -> ReadMember:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, RECBOLE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(pathlib.Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise DatasetError(f"`pip download {RECBOLE}` failed: {reason}.")
        read = _zip_reader(wheels[0].read_bytes())
    for name, expected in RECBOLE_SHA256.items():
        found = hashlib.sha256(read(name)).hexdigest()
        if found != expected:
            raise DatasetError(f"{name} in {wheels[0].name} has SHA-256 {found}, expected {expected}.")
    return read


def _local_reader(path: pathlib.Path) -> ReadMember:
    if path.is_dir():
        return lambda name: _read_file(path / name)
    if path.is_file() and zipfile.is_zipfile(path):
        return _zip_reader(path.read_bytes())
    raise DatasetError(f"{path} is {'not a zip file' if path.is_file() else 'not there'}.")


def _read_file(path: pathlib.Path) -> bytes:
    if not path.is_file():
        raise KeyError(path.name)
    return path.read_bytes()


def _zip_reader(content: bytes) -> ReadMember:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        try:
            with zipfile.ZipFile(file) as archive:
                wanted = re.compile(r"(u\.(data|item|user)|ml-100k\.(inter|item|user))")
                names = {name.rpartition("/")[2]: name for name in archive.namelist()}
                members = {n: archive.read(full) for n, full in names.items() if wanted.fullmatch(n)}
        except zipfile.BadZipFile as error:
            raise DatasetError(f"What was fetched is not a zip file: {error}.") from error
    return members.__getitem__


def _read_tables(read: ReadMember, origin: str) -> _Tables:
    missing = {}
    for parse, names in ((_parse_grouplens, ("u.data", "u.item", "u.user")), (_parse_recbole, RECBOLE_SHA256)):
        try:
            return parse(*(read(name) for name in names))
        except KeyError as error:
            missing[", ".join(names)] = error.args[0]
    raise DatasetError(
        f"{origin} is not MovieLens-100K: "
        + "; ".join(f"of {names} it lacks {name}" for names, name in missing.items())
    )


def _parse_grouplens(data: bytes, item: bytes, user: bytes) -> _Tables:
    """GroupLens' own files: `u.data` is tab-separated, the others `|`-separated and in Latin-1."""
    return _Tables(
        (Interaction(u, i, t, v) for u, i, v, t in _fields(data.decode("ascii"), "\t")),
        (_item(fields) for fields in _fields(item.decode("latin-1"), "|")),
        (User(*fields[:4]) for fields in _fields(user.decode("latin-1"), "|")),
    )


def _item(fields: list[str]) -> Item:
    """From a line of `u.item`: id, title, release date, video release date, IMDb URL, 19 flags of genres."""
    genres = [genre for genre, flag in zip(GENRES, fields[5:], strict=True) if flag == "1"]
    return _titled(fields[0], fields[1], genres)


def _parse_recbole(inter: bytes, item: bytes, user: bytes) -> _Tables:
    """RecBole's files, which cut what the title's last brackets hold out of it, and call it the year."""

    def rows(content: bytes) -> Iterator[list[str]]:
        lines = _fields(content.decode("utf-8"), "\t")
        next(lines)  # Typed column names.
        return lines

    def title(rest: str, brackets: str) -> str:
        return "unknown" if rest == brackets else f"{rest} ({brackets})"  # They spell it "unkonwn".

    return _Tables(
        (Interaction(u, i, t, v) for u, i, v, t in rows(inter)),
        (_titled(i, title(rest, brackets), genres.split(" ")) for i, rest, brackets, genres in rows(item)),
        (User(*fields[:4]) for fields in rows(user)),
    )


def _titled(item_id: str, title: str, genres: list[str]) -> Item:
    years = re.findall(r"\((\d{4})\)", title)
    return Item(item_id, title.strip(), "|".join(genres), years[-1] if years else "")


def _fields(text: str, separator: str) -> Iterator[list[str]]:
    return (line.rstrip("\r").split(separator) for line in text.split("\n") if line)
