"""The cards of pages that were served, for events that say where they happened."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from homefeed.serving.profiles import Store
from homefeed.serving.profiles.exposure import items_of

MAX_PAGES = 4_096  # That are remembered; others are looked up.


class ShownPages:
    """Knows which items stood on which page.

    Args:
        store: has the pages that are not remembered, and those of other gateways.
    """

    def __init__(self, store: Store):
        self._store = store
        self._items: OrderedDict[str, Sequence[str]] = OrderedDict()

    def remember(self, impression_id: str, items: Sequence[str]) -> None:
        """A page was made; it may take a moment until it is in the store."""
        self._items[impression_id] = items
        if len(self._items) > MAX_PAGES:
            self._items.popitem(last=False)

    async def has(self, impression_id: str, item_id: str | None, position: int | None) -> bool:
        """Whether a page has an item, and a place; of a page that is no longer kept, nobody says that it has not.

        Args:
            impression_id: of the page.
            item_id: of its card; None: the event is about none.
            position: from 0, of all cards of the page; None: the event does not say.

        Raises:
            StoreError: the store is out of reach.
        """
        items = await self._of(impression_id)
        if items is None:
            return True
        return (item_id is None or item_id in items) and (position is None or position < len(items))

    async def _of(self, impression_id: str) -> Sequence[str] | None:
        if impression_id not in self._items:
            if (exposure := await self._store.exposure(impression_id)) is None:
                return None
            self.remember(impression_id, items_of(exposure.page))
        return self._items[impression_id]
