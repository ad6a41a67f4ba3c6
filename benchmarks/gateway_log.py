"""`make bench PART=gateway_log`: what it costs an event to be in the log of all gateways before it is answered.

A broker has to be there: `python -m tests.serving.strangers.broker`. The same calls go to a gateway without a log and
to one with it, in turn. Writes `results.json`.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import pathlib
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator

import numpy as np
from homefeed_client import HomePageClient

from benchmarks import results
from benchmarks.gateway import cpu_seconds
from homefeed.models.requests import Event, Request
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.process import free_port
from homefeed.serving.profiles import FILE_NAME, write_profiles

NUM_SENDERS, EVENTS_A_CALL, NUM_ITEMS, ROUNDS = 4, 50, 200, 3
COMMAND = [sys.executable, "-c", "from homefeed.pipeline.cli.main import main; main()", "gateway"]


@contextlib.contextmanager
def gateway(root: pathlib.Path, *options: str) -> Iterator[tuple[int, int]]:
    """Runs a gateway without models; gives its process id and port."""
    port = free_port()
    arguments = ["--root", str(root), "--port", str(port), "--user-rate", "0", *options]
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL)
    try:
        with HomePageClient(f"http://127.0.0.1:{port}", timeout_seconds=60) as home:
            home.send([{"user_id": "first", "type": "view", "item_id": "i0"}])
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def send(port: int, sender: int, calls: int) -> list[float]:
    """Sends one call after the other; gives the seconds of each."""
    taken = list[float]()
    with HomePageClient(f"http://127.0.0.1:{port}", timeout_seconds=60) as home:
        for call in range(calls):
            events = [
                {
                    "event_id": uuid.uuid4().hex,
                    "user_id": f"u{(sender * 977 + call * 31 + place) % 2_000}",
                    "type": "view",
                    "item_id": f"i{(call + place) % NUM_ITEMS}",
                }
                for place in range(EVENTS_A_CALL)
            ]
            began = time.perf_counter()
            home.send(events)
            taken.append(time.perf_counter() - began)
    return taken


def measure(root: pathlib.Path, calls: int, *options: str) -> dict[str, float]:
    """CPU microseconds of the gateway an event, and milliseconds of a call."""
    with gateway(root, *options) as (pid, port), concurrent.futures.ThreadPoolExecutor(NUM_SENDERS) as pool:
        before = cpu_seconds(pid)
        taken = [one for found in pool.map(lambda n: send(port, n, calls), range(NUM_SENDERS)) for one in found]
        spent = cpu_seconds(pid) - before
    count = NUM_SENDERS * calls * EVENTS_A_CALL
    p50, p99 = np.percentile(taken, [50, 99]) * 1000
    return {"cpu_us": spent / count * 1e6, "p50_ms": p50, "p99_ms": p99}


def main() -> None:
    """Measures and writes the figures: the median of some rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", default="kafka://127.0.0.1:9092/homefeed", help="of a broker that is there")
    parser.add_argument("--store", default="", help="redis://HOST:PORT; empty: a file")
    parser.add_argument("--calls", type=int, default=50, help=f"of {EVENTS_A_CALL} events, of each of {NUM_SENDERS}")
    parser.add_argument("--dry-run", action="store_true", help="print, and leave results.json as it is")
    args = parser.parse_args()
    store = ("--store", args.store) if args.store else ()
    ways = {"without": store, "with_log": (*store, "--log", args.log)}
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        for turn in range(ROUNDS):
            for way, options in ways.items():
                root = pathlib.Path(name, f"{way}-{turn}")
                RunRoot(root).serving.mkdir(parents=True)
                profiles = [Request("other", [Event(f"i{n}", timestamp=1_600_000_000) for n in range(NUM_ITEMS)])]
                write_profiles(
                    RunRoot(root).serving / FILE_NAME, profiles, {f"i{n}": f"Item {n}" for n in range(NUM_ITEMS)}
                )
                for figure, value in measure(root, args.calls, *options).items():
                    found.setdefault(f"{way}.{figure}", []).append(value)
    figures = {figure: float(np.median(values)) for figure, values in found.items()}
    results.tell("gateway_log", figures, keep=not args.dry_run)


if __name__ == "__main__":
    main()
