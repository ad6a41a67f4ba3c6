"""`make bench PART=gateway_users`: what many users cost: bytes on the disk, memory of the gateway, and its start.

Each user does as many things with random items as are asked for, through the store's own code, in commits of some
users each; then a gateway starts on the file, and some of the users come for a page. Writes `results.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import pathlib
import random
import shutil
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Iterator

from homefeed_client import AsyncHomePageClient

from benchmarks import results
from benchmarks.gateway import Figures, gateway
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.gateway.items import Items
from homefeed.serving.profiles import FILE_NAME, LiveEvent, LiveStore, ProfileStore
from homefeed.serving.profiles.store import LIVE_FILE_NAME

USERS_A_COMMIT = 40
NUM_READERS = 8  # At the same time.
TYPES = ("view", "view", "view", "view", "like", "purchase", "hide")
YEAR_SECONDS = 365 * 86_400
PARTS = {
    "profiles": ("profiles", "sqlite_autoindex_profiles_1"),
    "events": ("events",),
    "indices_of_events": ("sqlite_autoindex_events_1", "events_of_users"),
}


def happenings(items: Items, users: range, count: int) -> Iterator[list[LiveEvent]]:
    """What users do in a year, some users' events at a time."""
    draw, begin, ids = random.Random(1), int(time.time()) - YEAR_SECONDS, sorted(items.cards)
    for start in range(0, len(users), USERS_A_COMMIT):
        events = []
        for user in users[start : start + USERS_A_COMMIT]:
            times = sorted(begin + draw.randrange(YEAR_SECONDS) for _ in range(count))
            for at, item in zip(times, draw.choices(ids, k=count), strict=True):
                named = uuid.UUID(int=draw.getrandbits(128)).hex
                tags = items.tags(item)
                events.append(
                    LiveEvent(named, f"user-{user}", draw.choice(TYPES), at, at * 1000, item_id=item, tags=tags)
                )
        yield events


def fill(serving: pathlib.Path, users: range, count: int) -> Figures:
    """Makes the live store; gives what its parts take."""
    items = Items(ProfileStore(serving / FILE_NAME).items())
    path, began = serving / LIVE_FILE_NAME, time.monotonic()
    store = LiveStore(path)
    for events in happenings(items, users, count):
        store.append(events).result()
    store.close()
    figures: Figures = {"fill_seconds": time.monotonic() - began, "bytes_a_user": path.stat().st_size / len(users)}
    with contextlib.closing(sqlite3.connect(path)) as database:
        for part, names in PARTS.items():
            marks = ", ".join("?" * len(names))
            (size,) = database.execute(f"SELECT sum(pgsize) FROM dbstat WHERE name IN ({marks})", names).fetchone()
            figures[f"bytes_a_user.{part}"] = size / len(users)
    return figures


async def visit(url: str, users: range) -> None:
    """Each of the users asks for a page."""
    waiting = iter(users)

    async def reader(home: AsyncHomePageClient) -> None:
        for user in waiting:
            await home.page(user_id=f"user-{user}")

    async with AsyncHomePageClient(url, timeout_seconds=60) as home:
        await asyncio.gather(*(reader(home) for _ in range(NUM_READERS)))


def measure(root: pathlib.Path, num_users: int, count: int, num_active: int) -> Figures:
    """Everything, on a copy of what was pushed to a root."""
    with tempfile.TemporaryDirectory() as name:
        serving = RunRoot(pathlib.Path(name)).serving
        shutil.copytree(RunRoot(root).serving, serving, ignore=shutil.ignore_patterns("live.sqlite*"))
        figures = fill(serving, range(num_users), count)
        began = time.monotonic()
        with gateway(pathlib.Path(name), "--user-rate", "0") as (url, pid):
            figures["start_seconds"] = time.monotonic() - began
            figures["megabytes_at_start"] = _resident_megabytes(pid)
            asyncio.run(visit(url, range(num_active)))
            figures["megabytes_after_visits"] = _resident_megabytes(pid)
            maps = pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
            figures["has_tensorflow"] = float("tensorflow" in maps)
    return figures | {"users": num_users, "events_a_user": count, "active": num_active}


def _resident_megabytes(pid: int) -> float:
    lines = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1000


def main() -> None:
    """Measures and merges `gateway_users.*` into the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("var/movielens-100k/root"))
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=50, help="of each user")
    parser.add_argument("--active", type=int, default=100_000, help="users who ask for a page")
    parser.add_argument("--dry-run", action="store_true", help="print only")
    options = parser.parse_args()
    figures = measure(options.root, options.users, options.events, options.active)
    results.tell("gateway_users", figures, keep=not options.dry_run)


if __name__ == "__main__":
    main()
