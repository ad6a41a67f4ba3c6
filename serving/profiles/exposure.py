"""A page that was served, as it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import orjson


class Exposure(NamedTuple):
    """A page that was served.

    Attributes:
        impression_id: of the page.
        user_id: who asked.
        after: the page before it, when somebody scrolls on; "": none.
        at: Unix milliseconds.
        page: rungs, versions, arms, seed, candidates and the items of the rows, as JSON.
        assigned: experiment → arm, of those that the user did not have before and keeps.
    """

    impression_id: str
    user_id: str
    after: str
    at: int
    page: bytes
    assigned: Mapping[str, str] = {}


def items_of(page: bytes) -> list[str]:
    """The items of a page as it is recorded, row by row."""
    return [item for row in orjson.loads(page)["rows"] for item in row["items"]]
