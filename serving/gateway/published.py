"""What the last push left beside the models, as the gateway reads it."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence

from homefeed.models.requests import Request
from homefeed.schemas.errors import HomefeedError
from homefeed.serving.gateway.items import Items
from homefeed.serving.profiles import FILE_NAME, ProfileStore
from homefeed.serving.queries import Tokenize, query_tokenizer
from homefeed.serving.recommender import RETRIEVAL
from homefeed.serving.releases import Releases

MAX_PROFILES = 2_000  # That stay in memory.
NOTHING = (0.0, 0)

Mark = tuple[float, int]


@dataclasses.dataclass(frozen=True)
class Published:
    """Profiles and items of one push.

    Attributes:
        items: the catalogue.
        profile: user id → profile as of the push.
        key: of pseudonyms; None: users are stored by their own ids.
        mark: of the file; that of another push is another.
    """

    items: Items
    profile: Callable[[str], Request]
    key: bytes | None
    mark: Mark


def read_published(serving_dir: pathlib.Path, picks: Sequence[str]) -> Published:
    """Reads profiles and items; before the first push there are none.

    Raises:
        DatasetError: the store is from an earlier homefeed, or the key of its pseudonyms is not there.
    """
    mark = mark_of(serving_dir)
    if mark == NOTHING:
        return Published(Items([]), Request, None, mark)
    profiles = ProfileStore(serving_dir / FILE_NAME)
    return Published(
        Items(profiles.items(), picks), functools.lru_cache(MAX_PROFILES)(profiles.get), profiles.key, mark
    )


def mark_of(serving_dir: pathlib.Path) -> Mark:
    """Tells one push's file from another's."""
    path = serving_dir / FILE_NAME
    if not path.is_file():
        return NOTHING
    found = path.stat()
    return found.st_mtime, found.st_ino


def read_tokenizer(serving_dir: pathlib.Path) -> Tokenize | None:
    """Text → token ids of the stable retrieval model; None: nothing is published here."""
    releases = Releases(serving_dir)
    try:
        return query_tokenizer(pathlib.Path(releases.path(RETRIEVAL, releases.stable())))
    except HomefeedError:
        return None
