"""`make bench PART=gateway`: pages and events of the live home page, under load that does not wait for answers.

A model server and a gateway are started on the pushed models of a root; the load comes from this process, on the same
machine. Arrivals are drawn beforehand (Poisson), and a latency counts from the arrival, so that no stall is hidden.
Writes `results.json`.
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
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import httpx
import numpy as np
import orjson

from benchmarks import results
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving import process
from homefeed.serving.profiles import ProfileStore
from homefeed.serving.releases import Releases

PAGE_RATES = (50, 100, 140)  # A second.
EVENT_RATES, EVENTS_A_CALL = (1000, 2500, 5000), 50  # Events a second.
MAX_CONNECTIONS = 256
START_SECONDS = 60.0
JSON = {"Content-Type": "application/json"}
GATEWAY = (sys.executable, "-c", "from homefeed.pipeline.cli.main import main; main()", "gateway")

Figures = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Stage:
    """What is measured: a gateway before a model server.

    Attributes:
        url: of the gateway.
        gateway: its process id.
        models: the model server's process id.
        model_address: of the model server's gRPC.
        model_server: its command.
        root: a copy of what was pushed.
        users: of the data.
        items: ids of all that have a card.
        releases: of the root.
        world: what `prepare` gave.
    """

    url: str
    gateway: int
    models: int
    model_address: str
    model_server: Sequence[str]
    root: pathlib.Path
    users: list[str]
    items: list[str]
    releases: Releases
    world: Any = None


@contextlib.contextmanager
def stage(
    root: pathlib.Path, *options: str, prepare: Callable[[pathlib.Path], Any] = lambda root: None
) -> Iterator[Stage]:
    """Runs both servers on a copy of what was pushed to a root, which may be changed before."""
    with tempfile.TemporaryDirectory() as name:
        copy = pathlib.Path(name)
        folder = RunRoot(copy).serving
        shutil.copytree(RunRoot(root).serving, folder, ignore=shutil.ignore_patterns("live.sqlite*"))
        world = prepare(copy)
        releases = Releases(folder)
        releases.configure()
        port = process.free_port()
        address, command = (
            f"127.0.0.1:{port}",
            process.server_command("homefeed", process.server_flags(str(folder), port)),
        )
        profiles = ProfileStore(folder / "profiles.sqlite")
        users, items = list(profiles.user_ids()), [i.item_id for i in profiles.items() if i.card is not None]
        with running(command) as models, gateway(copy, "--models", address, *options) as (url, pid):
            wait_until_ready(url)
            yield Stage(url, pid, models, address, command, copy, users, items, releases, world)


@contextlib.contextmanager
def gateway(root: pathlib.Path, *options: str) -> Iterator[tuple[str, int]]:
    """A gateway on a root until the block ends; gives its URL, once it answers, and its process id."""
    port = process.free_port()
    with running([*GATEWAY, "--root", str(root), "--port", str(port), *options]) as pid:
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{url}/v1/health", timeout=10)
                break
            time.sleep(0.02)
        yield url, pid


@contextlib.contextmanager
def running(command: Sequence[str]) -> Iterator[int]:
    """A process until the block ends; gives its id."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield child.pid
    finally:
        child.terminate()
        child.wait(60)


def wait_until_ready(url: str, seconds: float = 120) -> float:
    """Until a page comes from the top rung; gives the seconds that it took."""
    begin = time.monotonic()
    while time.monotonic() < begin + seconds:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/v1/page", timeout=10).json().get("served_by") == "fused":
                return time.monotonic() - begin
        time.sleep(0.05)
    raise TimeoutError(f"no page from the fused model at {url} within {seconds} seconds")


def cpu_seconds(pid: int) -> float:
    """CPU time that a process took since its start."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def open_loop(
    rate: float, seconds: float, call: Callable[[int], Awaitable[Any]]
) -> tuple[list[float], list[Any]]:
    """Calls at times that do not depend on the answers; gives seconds from arrival to answer, and the answers."""
    draw = random.Random(1)
    latencies, answers, at, arrivals = list[float](), list[Any](), 0.0, list[float]()
    while (at := at + draw.expovariate(rate)) < seconds:
        arrivals.append(at)
    begin = time.perf_counter()

    async def one(number: int, arrival: float) -> None:
        await asyncio.sleep(max(0.0, begin + arrival - time.perf_counter()))
        answers.append(await call(number))
        latencies.append(time.perf_counter() - begin - arrival)

    await asyncio.gather(*(one(number, arrival) for number, arrival in enumerate(arrivals)))
    return latencies, answers


async def pages(stage: Stage, http: httpx.AsyncClient, seconds: float) -> Figures:
    """Pages at several rates, each of another user; rungs and CPU beside."""
    figures: Figures = {}
    for rate in PAGE_RATES:

        async def page(number: int, rate: int = rate) -> httpx.Response:
            return await http.get("/v1/page", params={"user_id": stage.users[(number * 7 + rate) % len(stage.users)]})

        before = cpu_seconds(stage.gateway), cpu_seconds(stage.models)
        latencies, answers = await open_loop(rate, seconds, page)
        name, count = f"page.{rate}_a_second", len(answers)
        figures |= summary(name, latencies)
        figures[f"{name}.gateway_cpu_ms"] = (cpu_seconds(stage.gateway) - before[0]) / count * 1000
        figures[f"{name}.models_cpu_ms"] = (cpu_seconds(stage.models) - before[1]) / count * 1000
        statuses = collections.Counter(answer.status_code for answer in answers)
        figures[f"{name}.come_back"], figures[f"{name}.failed"] = statuses[429], count - statuses[429] - statuses[200]
        rungs = collections.Counter(answer.json()["served_by"] for answer in answers if answer.status_code == 200)
        figures |= {f"{name}.share.{rung}": share / count for rung, share in rungs.items()}
    return figures


async def loop(stage: Stage, http: httpx.AsyncClient, seconds: float) -> Figures:
    """An event, then a page that must know it, one pair after the other."""
    taken, missed, number = list[float](), 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        user, item = stage.users[number % len(stage.users)], stage.items[number * 13 % len(stage.items)]
        event = {"event_id": f"loop-{number}", "user_id": user, "type": "view", "item_id": item}
        answer = await http.post("/v1/events", json={"events": [event]})
        acknowledged = time.perf_counter()
        page = (await http.get("/v1/page", params={"user_id": user})).json()
        taken.append(time.perf_counter() - acknowledged)
        shown = {card["item_id"] for row in page["rows"] for card in row["cards"]}
        missed += page["profile_version"] < answer.json()["events"][0]["version"] or item in shown
        number += 1
    return summary("event_to_page", taken) | {"event_to_page.tries": number, "event_to_page.missed": missed}


async def events(stage: Stage, http: httpx.AsyncClient, seconds: float) -> Figures:
    """Calls of many events at a rate that does not wait for the answers."""

    figures: Figures = {}
    for rate in EVENT_RATES:
        # Made beforehand: what the load costs would be counted as the gateway's delay.
        calls = [_call_of_events(stage, rate, number) for number in range(int(rate * seconds / EVENTS_A_CALL * 2))]

        async def send(number: int, calls: Sequence[bytes] = calls) -> httpx.Response:
            return await http.post("/v1/events", content=calls[number], headers=JSON)

        before, began = cpu_seconds(stage.gateway), time.monotonic()
        latencies, answers = await open_loop(rate / EVENTS_A_CALL, seconds, send)
        taken = time.monotonic() - began
        told = [event["status"] for answer in answers for event in answer.json().get("events", [{"status": "none"}])]
        name, accepted = f"events.{rate}_a_second", told.count("accepted")
        figures |= summary(name, latencies) | {f"{name}.accepted_a_second": accepted / taken}
        figures[f"{name}.not_accepted"] = len(answers) * EVENTS_A_CALL - accepted
        figures[f"{name}.cpu_us"] = (cpu_seconds(stage.gateway) - before) / accepted * 1e6
    return figures


def _call_of_events(stage: Stage, rate: int, number: int) -> bytes:
    events = [
        {
            "event_id": f"{rate}-{number}-{place}",
            "user_id": stage.users[(number * EVENTS_A_CALL + place) % len(stage.users)],
            "type": "view",
            "item_id": stage.items[(number + place) % len(stage.items)],
        }
        for place in range(EVENTS_A_CALL)
    ]
    return orjson.dumps({"events": events})


def summary(name: str, seconds: Sequence[float]) -> Figures:
    """p50 and p99 in milliseconds."""
    return {f"{name}.p{rank}_ms": float(np.percentile(seconds, rank)) * 1000 for rank in (50, 99)}


async def measure(stage: Stage, seconds: float) -> Figures:
    """Everything, after some pages that are not counted."""
    limits = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS)
    async with httpx.AsyncClient(base_url=stage.url, limits=limits, timeout=30) as http:
        for user in stage.users[:50]:
            await http.get("/v1/page", params={"user_id": user})
        figures = await pages(stage, http, seconds)
        figures |= await loop(stage, http, seconds)
        return figures | await events(stage, http, seconds)


def main() -> None:
    """Measures and merges `gateway.*` into the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("var/movielens-100k/root"))
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement")
    parser.add_argument("--dry-run", action="store_true", help="print only")
    options = parser.parse_args()
    with stage(options.root) as staged:
        figures = asyncio.run(measure(staged, options.seconds))
    results.tell("gateway", figures, keep=not options.dry_run)


if __name__ == "__main__":
    main()
