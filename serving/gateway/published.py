"""What the last push left beside the models, as the gateway reads it."""

from __future__ import annotations

import dataclasses
import functools
import logging
import pathlib
from collections.abc import Callable, Sequence

from homefeed.models.errors import ModelError
from homefeed.models.hot.blend import Blend
from homefeed.models.requests import Event, Request
from homefeed.models.shared.item_vectors import ItemVectors
from homefeed.schemas.errors import HomefeedError
from homefeed.schemas.privacy import pseudonym
from homefeed.serving.gateway.friends import NUM_EVENTS
from homefeed.serving.gateway.items import Items
from homefeed.serving.gateway.page import Known, known
from homefeed.serving.profiles import FILE_NAME, ProfileStore
from homefeed.serving.queries import VOCABULARY_FILE, Tokenize, query_tokenizer
from homefeed.serving.recommender import RETRIEVAL
from homefeed.serving.releases import Releases

MAX_PROFILES = 2_000  # That stay in memory.
MAX_OTHERS = 20_000  # People whose newest events do, for the pages of those who are related to them.
NOTHING = (0.0, 0)

Mark = tuple[float, int]

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Published:
    """Profiles and items of one push.

    Attributes:
        items: the catalogue.
        known: user id → what the data says of them.
        stored: the same, of a user as they are called in the stores.
        key: of pseudonyms; None: users are stored by their own ids.
        mark: of the file; that of another push is another.
        others: name of a user in the stores → those of the people whom they are related to.
        recent: name of a user in the stores → their newest events in the data.
    """

    items: Items
    known: Callable[[str], Known]
    stored: Callable[[str], Known]
    key: bytes | None
    mark: Mark
    others: Callable[[str], Sequence[str]]
    recent: Callable[[str], Sequence[Event]]

    def name(self, user: str) -> str:
        """What a user or guest is called in the stores."""
        return pseudonym(user, self.key)


def read_published(serving_dir: pathlib.Path, picks: Sequence[str]) -> Published:
    """Reads profiles and items; before the first push there are none.

    Raises:
        DatasetError: the store is from an earlier homefeed, or the key of its pseudonyms is not there.
    """
    mark = mark_of(serving_dir)
    profiles = ProfileStore(serving_dir / FILE_NAME) if mark != NOTHING else None
    items = Items(profiles.items(), picks, profiles.facts(), profiles.declared()) if profiles else Items([])

    @functools.lru_cache(MAX_PROFILES)
    def find(user_id: str) -> Known:
        return known(profiles.get(user_id) if profiles else Request(user_id), items)

    def find_stored(name: str) -> Known:
        return known(profiles.get_stored(name) if profiles else Request(name), items)

    def others(name: str) -> Sequence[str]:
        return profiles.others(name) if profiles else ()

    @functools.lru_cache(MAX_OTHERS)
    def recent(name: str) -> Sequence[Event]:
        return tuple(profiles.get_stored(name).history[-NUM_EVENTS:]) if profiles else ()

    return Published(items, find, find_stored, profiles.key if profiles else None, mark, others, recent)


def mark_of(serving_dir: pathlib.Path) -> Mark:
    """Tells one push's file from another's."""
    path = serving_dir / FILE_NAME
    if not path.is_file():
        return NOTHING
    found = path.stat()
    return found.st_mtime, found.st_ino


def read_tokenizer(serving_dir: pathlib.Path) -> Tokenize | None:
    """Text → token ids of the stable retrieval model; None: it is not here, or knows no text."""
    saved_model = _stable_retrieval(serving_dir)
    is_there = saved_model is not None and (saved_model / VOCABULARY_FILE).is_file()
    return query_tokenizer(saved_model) if saved_model and is_there else None


def read_vectors(serving_dir: pathlib.Path) -> ItemVectors:
    """Vectors of the stable retrieval model; none where it is not here, or was saved without them."""
    return ItemVectors(_stable_retrieval(serving_dir))


def read_blend(serving_dir: pathlib.Path) -> Blend:
    """The order of what is hot, of the stable retrieval model; the counts alone where it cannot be read."""
    try:
        return Blend.read(_stable_retrieval(serving_dir))
    except ModelError as error:
        _logger.warning("what is hot is sorted by counts alone: %s", error)
        return Blend()


def _stable_retrieval(serving_dir: pathlib.Path) -> pathlib.Path | None:
    releases = Releases(serving_dir)
    try:
        return pathlib.Path(releases.path(RETRIEVAL, releases.stable()))
    except HomefeedError:
        return None
