"""`make bench PART=gateway_promises`: what no page may hold, and what the next page must know, over random readers.

Readers view, like, hide, undo, search and scroll as chance has it, and every page is compared with what they did: no
item stands on it twice, none that they saw or hid or that is not available yet, and none that an earlier page of the
same scrolling had; a page that is asked for after an event was acknowledged knows the event. It goes on until each
rung has answered so many pages. With `--store redis://HOST:PORT` two gateways share a store, and each page is asked
for from another one than the event was sent to. Writes `results.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import os
import pathlib
import random
import signal
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from homefeed_client import AsyncHomePageClient, HomePageError

from benchmarks import results
from benchmarks.gateway import Figures, gateway, stage, wait_until_ready
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.profiles import FILE_NAME, ProfileStore, write_profiles

NUM_READERS = 12  # At the same time.
LATE_SHARE, LATE = 0.1, 2_900_000_000  # Items that come in 2061, and when.
NUM_PICKS = 40
SEEING, HIDING = ("view", "like", "purchase"), ("hide", "not_for_me")
SCROLLED = 50  # Pages.
FAULTS = ("twice", "seen_or_hidden", "not_available", "repeated", "event_unknown", "failed")

Tally = collections.Counter[str]


@dataclasses.dataclass(frozen=True)
class World:
    """What is true of the catalogue and of the data.

    Attributes:
        seen: user of the data → items that they had.
        items: ids of all that have a card.
        late: those that are not available yet.
    """

    seen: Mapping[str, frozenset[str]]
    items: Sequence[str]
    late: frozenset[str]


class Reader:
    """One who reads and clicks by chance, and remembers what must not be shown to them.

    Args:
        world: where they are.
        who: a user or a session.
        homes: gateways; they go to any of them.
        draw: their chance.
        tally: of all readers: pages by rung, tries, faults.
        is_plain: searches for nothing, so that an earlier list is always an answer.
    """

    def __init__(
        self,
        world: World,
        who: Mapping[str, str],
        homes: Sequence[AsyncHomePageClient],
        draw: random.Random,
        tally: Tally,
        is_plain: bool,
    ):
        self._world, self._who, self._homes, self._draw, self._tally = world, who, homes, draw, tally
        self._is_plain = is_plain
        self._seen = set(world.seen.get(who.get("user_id", ""), ()))
        self._hidden: set[str] = set()
        self._version = 0

    async def visit(self) -> None:
        """Some events, each with the page after it, and then scrolling."""
        page = await self._page({})
        for _ in range(self._draw.randrange(1, 8)):
            await self._act([card["item_id"] for row in page["rows"] for card in row["cards"]])
            self._tally["tries"] += 1
            page = await self._page({})
        shown: set[str] = set()
        k, length = self._draw.choice([(12, SCROLLED), (50, 25), (5, 6)])
        while page["rows"] and length:
            found = [card["item_id"] for row in page["rows"] for card in row["cards"]]
            self._tally["repeated"] += len(shown.intersection(found))
            shown.update(found)
            page, length = await self._page({"after": page["impression_id"], "k": k}), length - 1

    async def _act(self, page: Sequence[str]) -> None:
        kind = self._draw.choice([*SEEING, *SEEING, *HIDING, "undo", "impression"])
        among = sorted(self._hidden) if kind == "undo" and self._hidden else page or self._world.items
        item = self._draw.choice(among)
        event = {"event_id": uuid.uuid4().hex, "type": kind, "item_id": item, **self._who}
        (answer,) = await self._draw.choice(self._homes).send([event])
        if answer["status"] != "accepted":
            self._tally["failed"] += 1
            return
        self._version = answer["version"]
        if kind in SEEING:
            self._seen.add(item)
        elif kind in HIDING:
            self._hidden.add(item)
        elif kind == "undo":
            self._hidden.discard(item)

    async def _page(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        query = {} if self._is_plain or ask or self._draw.random() < 0.9 else {"query": "the star of the night"}
        k = {} if ask else {"k": self._draw.choice((1, 12, 30, 50))}
        page = await self._draw.choice(self._homes).page(**k, **query, **ask, **self._who)
        found = [card["item_id"] for row in page["rows"] for card in row["cards"]]
        self._tally[f"rung.{page['served_by']}"] += 1
        self._tally["cards"] += len(found)
        self._tally["twice"] += len(found) - len(set(found))
        self._tally["seen_or_hidden"] += len((self._seen | self._hidden).intersection(found))
        self._tally["not_available"] += len(self._world.late.intersection(found))
        self._tally["event_unknown"] += page["profile_version"] < self._version
        return page


async def read(
    world: World,
    urls: Sequence[str],
    wanted: Mapping[str, int],
    *,
    seed: int = 1,
    is_plain: bool = False,
    max_visits: int = 100_000,
) -> Tally:
    """Readers come, one after the other in each of some queues, until enough is counted.

    Args:
        world: what is true.
        urls: of gateways on one store.
        wanted: what is counted → how much of it.
        seed: of chance.
        is_plain: see `Reader`.
        max_visits: then it ends.
    """
    tally = Tally(dict.fromkeys(FAULTS, 0))

    async with contextlib.AsyncExitStack() as stack:
        homes = [await stack.enter_async_context(AsyncHomePageClient(url, timeout_seconds=30)) for url in urls]

        async def queue(number: int) -> None:
            draw, users = random.Random(f"{seed}-{number}"), list(world.seen)[number::NUM_READERS]
            readers: dict[str, Reader] = {}
            while any(tally[name] < count for name, count in wanted.items()) and tally["visits"] < max_visits:
                tally["visits"] += 1
                is_guest = not users or draw.random() < 0.3
                name = uuid.uuid4().hex if is_guest else draw.choice(users)
                who = {"session_id" if is_guest else "user_id": name}
                reader = readers.get(name) or Reader(world, who, homes, draw, tally, is_plain)
                readers[name] = reader
                try:
                    await reader.visit()
                except HomePageError as error:
                    tally["failed"] += 1
                    print(error, file=sys.stderr)

        await asyncio.gather(*(queue(number) for number in range(NUM_READERS)))
    return tally


def prepare(root: pathlib.Path) -> World:
    """Makes a tenth of the items late; gives what is then true."""
    path = RunRoot(root).serving / FILE_NAME
    store = ProfileStore(path)
    titles = {item.item_id: item.title for item in store.items()}
    cards = {item.item_id: item.card for item in store.items() if item.card is not None}
    draw = random.Random(1)
    late = frozenset(item_id for item_id in cards if draw.random() < LATE_SHARE)
    for item_id in late:
        cards[item_id] = {**cards[item_id], "available_from": LATE}
    users = {user: store.get(user, 0) for user in store.user_ids()}
    write_profiles(path, users.values(), titles, cards=cards)
    seen = {user: frozenset(event.item_id for event in one.history) for user, one in users.items()}
    return World(seen, sorted(cards), late)


@contextlib.contextmanager
def unread(root: pathlib.Path, world: World) -> Iterator[str]:
    """A gateway on a catalogue that nobody has read from: it has the editors' choice alone."""
    folder = root / "unread"
    path = RunRoot(folder).serving / FILE_NAME
    path.parent.mkdir(parents=True)
    cards = {item: {"available_from": LATE} if item in world.late else {} for item in world.items}
    write_profiles(path, [], dict.fromkeys(world.items, "-"), cards=cards)
    (folder / "picks").write_text("\n".join(random.Random(2).sample(world.items, NUM_PICKS)))
    with gateway(folder, "--picks", str(folder / "picks"), "--user-rate", "0") as (url, _):
        yield url


def rungs(root: pathlib.Path, count: int) -> Figures:
    """Pages of every rung."""
    figures: Figures = {}

    def told(tally: Tally) -> None:
        for name, number in tally.items():
            figures[name] = figures.get(name, 0) + number

    with stage(root, "--user-rate", "0", prepare=prepare) as staged:
        world, urls = staged.world, [staged.url]
        told(asyncio.run(read(world, urls, {"rung.fused": count, "rung.retrieval": count})))
        os.kill(staged.models, signal.SIGKILL)
        told(asyncio.run(read(world, urls, {"rung.last_page": count, "rung.popular": count}, seed=2, is_plain=True)))
        with unread(staged.root, world) as url:
            nobody = dataclasses.replace(world, seen={})
            told(asyncio.run(read(nobody, [url], {"rung.editors": count}, seed=3)))
    return figures


def tries(root: pathlib.Path, count: int, store: str) -> Figures:
    """Events with the page after them, on two gateways if they share a store."""
    with stage(root, "--user-rate", "0", *(["--store", store] if store else []), prepare=prepare) as staged:
        address = staged.model_address
        with contextlib.ExitStack() as stack:
            urls = [staged.url]
            if store:
                other = gateway(staged.root, "--models", address, "--user-rate", "0", "--store", store)
                urls.append(stack.enter_context(other)[0])
                wait_until_ready(urls[1])
            return dict(asyncio.run(read(staged.world, urls, {"tries": count}, seed=4)))


def main() -> None:
    """Reads and merges `gateway_promises.*` into the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("var/movielens-100k/root"))
    parser.add_argument("--pages", type=int, default=10_000, help="of each rung")
    parser.add_argument("--tries", type=int, default=10_000, help="events with the page after them")
    parser.add_argument("--store", default="", help="redis://HOST:PORT, an empty one, for two gateways")
    parser.add_argument("--dry-run", action="store_true", help="print only")
    options = parser.parse_args()
    figures: Figures = {}
    if options.pages:
        figures |= {f"pages.{name}": value for name, value in rungs(options.root, options.pages).items()}
    if options.tries:
        name = "two_gateways" if options.store else "one_gateway"
        found = tries(options.root, options.tries, options.store)
        figures |= {f"{name}.{key}": value for key, value in found.items()}
    results.tell("gateway_promises", figures, keep=not options.dry_run)


if __name__ == "__main__":
    main()
