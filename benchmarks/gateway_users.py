"""`make bench PART=gateway_users`: what many users cost: bytes on the disk, memory of the gateway, and its start.

Each user does as many things with random items as are asked for, spread over a year, through the store's own code;
then what came is sealed, and of it only the last days stay. A gateway starts on the file, and some of the users come
for a page. Writes `results.json`.
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
from homefeed.serving.feedback.seal import seal
from homefeed.serving.gateway.items import Items
from homefeed.serving.profiles import FILE_NAME, LiveEvent, LiveStore, ProfileStore
from homefeed.serving.profiles.store import LIVE_FILE_NAME

EVENTS_A_COMMIT = 2_000
KEPT_DAYS = (30, 7, 1)
NUM_READERS = 8  # At the same time.
TYPES = ("view", "view", "view", "view", "like", "purchase", "hide")
YEAR_SECONDS = 365 * 86_400
PARTS = {
    "profiles": ("profiles", "sqlite_autoindex_profiles_1"),
    "events": ("events",),
    "indices_of_events": ("sqlite_autoindex_events_1", "events_of_users"),
    "bases": ("bases", "sqlite_autoindex_bases_1"),
}
DATASET = """\
name: users
interactions: {path: 'interactions/{SPAN}.parquet'}
exposures: {path: 'exposures/{SPAN}.parquet'}
"""


def happenings(items: Items, users: range, count: int) -> Iterator[list[LiveEvent]]:
    """What users do in a year, in the order of arrival: one thing of each user after the other, and again."""
    draw, ids = random.Random(1), sorted(items.cards)
    begin, pace = time.time() - YEAR_SECONDS, YEAR_SECONDS / (count * len(users))
    for start in range(0, count * len(users), EVENTS_A_COMMIT):
        events = []
        for number in range(start, min(start + EVENTS_A_COMMIT, count * len(users))):
            at, user, item = begin + number * pace, users[number % len(users)], draw.choice(ids)
            named, tags = uuid.UUID(int=draw.getrandbits(128)).hex, items.tags(item)
            kind = draw.choice(TYPES)
            events.append(LiveEvent(named, f"user-{user}", kind, int(at), int(at * 1000), item_id=item, tags=tags))
        yield events


def fill(serving: pathlib.Path, users: range, count: int) -> Figures:
    """Makes the live store."""
    items = Items(ProfileStore(serving / FILE_NAME).items())
    began = time.monotonic()
    store = LiveStore(serving / LIVE_FILE_NAME)
    for events in happenings(items, users, count):
        store.append(events).result()
    store.close()
    return {"fill_seconds": time.monotonic() - began}


def sizes(serving: pathlib.Path, num_users: int) -> Figures:
    """What the parts of the live store take."""
    path = serving / LIVE_FILE_NAME
    figures: Figures = {}
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        figures["bytes_a_user"] = path.stat().st_size / num_users
        for part, names in PARTS.items():
            marks = ", ".join("?" * len(names))
            (size,) = database.execute(f"SELECT sum(pgsize) FROM dbstat WHERE name IN ({marks})", names).fetchone()
            figures[f"bytes_a_user.{part}"] = size / num_users
    return figures


def sealed(serving: pathlib.Path, data: pathlib.Path, num_users: int) -> Figures:
    """What stays after sealing, the less the fewer days are kept."""
    (data / "dataset.yaml").write_text(DATASET, encoding="utf-8")
    figures: Figures = {}
    for days in KEPT_DAYS:
        began = time.monotonic()
        left = seal(serving, data, keep_seconds=days * 86_400).left
        figures[f"seal_seconds.keep_{days}_days"] = time.monotonic() - began
        figures[f"events_left.keep_{days}_days"] = left
        named = sizes(serving, num_users).items()
        figures |= {f"{name}.keep_{days}_days": size for name, size in named}
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
        figures = fill(serving, range(num_users), count) | sizes(serving, num_users)
        data = pathlib.Path(name) / "data"
        data.mkdir()
        figures |= sealed(serving, data, num_users)
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
