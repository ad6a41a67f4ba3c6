"""What a page is made of besides the main list: what was shown before, what is like an item, what was seen often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from homefeed.serving.gateway import page as pages
from homefeed.serving.gateway.friends import taken
from homefeed.serving.gateway.items import Items
from homefeed.serving.gateway.ladder import Ladder
from homefeed.serving.gateway.published import Published
from homefeed.serving.gateway.schema import Ask
from homefeed.serving.policy.arrangement import fatigue
from homefeed.serving.policy.errors import NotFound
from homefeed.serving.policy.surfaces import Surface
from homefeed.serving.profiles import Store
from homefeed.serving.profiles.exposure import items_of

PAUSES_SECONDS = (0.0, 0.02, 0.1, 0.5)  # Before looking for a page that another gateway served.


async def shown_before(store: Store, after: str, user: str) -> frozenset[str]:
    """What was shown on a page and on those before it, which another gateway may be writing just now.

    Raises:
        NotFound: it is no page of theirs.
    """
    for pause in PAUSES_SECONDS if after else ():
        await asyncio.sleep(pause)
        if before := await store.scrolled(after, user):
            return frozenset(item for page in before for item in items_of(page))
    if after:
        raise NotFound("after: no page of this user has this impression_id; ask without `after`")
    return frozenset()


def more_of(
    ask: Ask, surface: Surface, reader: pages.Reader, items: Items, may_be_named: Callable[[str], bool]
) -> str:
    """The item that is asked about, or else the reader's newest, that shares facts with others; "": there is none."""
    if not surface.needs("more_of"):
        return ""

    def is_fit(item_id: str) -> bool:
        return items.has_more(item_id) and may_be_named(item_id)

    about = [ask.item_id] if ask.item_id else []
    return next(filter(is_fit, about), pages.anchor(reader.request.history, is_fit) or "")


async def friends(
    store: Store, surface: Surface, published: Published, user: str, excluded: Collection[str], count: int
) -> Sequence[str]:
    """What people took whom a user is related to."""
    others = published.others(user) if surface.needs("friends") else ()
    if not others:
        return ()
    lives = await store.profiles(others)
    return taken(zip(map(published.recent, others), lives, strict=True), excluded, count)


async def seen_often(store: Store, user: str, surface: Surface, now: float) -> dict[str, float]:
    """How often items were seen and not acted on, faded; what was acted on is not shown anyhow."""
    return fatigue(await store.only_seen(user), now, surface.rotation) if surface.rotation else {}


async def similar(
    ladder: Ladder, ask: Ask, surface: Surface, reader: pages.Reader, is_known: Callable[[str], bool], k: int
) -> tuple[str, Sequence[str]] | None:
    """The item that is asked about, or else the reader's newest, and what is like it; None: there is none."""
    if ask.after or not surface.needs_similar:
        return None
    about = ask.item_id or pages.anchor(reader.request.history, is_known)
    return (about, await ladder.similar(about, k)) if about else None
