"""Everything at once: strangers of every kind, pushes and restarts, while good clients ask on.

    python -m benchmarks.soak --root ROOT [--seconds 600]

ROOT is that of a finished `homefeed run`. Two servers serve a copy of its models with the flags of `homefeed serve`.
Good clients ask both, by the label `stable`, and know the right answers. The first server has idle and dripping
connections on both ports, gzip bombs, malformed requests and a huge `k`; new versions that load for ten seconds are
pushed every five; and it is ended by SIGTERM twice and started again. Prints what became of all that.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import gzip
import http.client
import pathlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks import _load, results
from benchmarks._server import Server, start
from benchmarks.serving import Setting, prepare
from homefeed.serving import process
from homefeed.serving.model_server.intake import raise_file_limit
from homefeed.serving.recommender import FUSED
from homefeed.serving.releases import WARMUP_FILE, Releases

NUM_IDLE, NUM_DRIPPING, NUM_CLIENTS = 2000, 1000, 8
PUSH_SECONDS, LOAD_SECONDS = 5.0, 10.0
NUM_RESTARTS = 2
TIMEOUT_SECONDS = 20.0


class Soak:
    """Runs threads until it is stopped, and counts what they say.

    Attributes:
        seen: how often each thing happened.
        failures: the words of what should not have happened, and how often.
    """

    def __init__(self, setting: Setting, releases: Releases, flags: list[str]):
        self.setting = setting
        self.releases = releases
        self.seen: collections.Counter[str] = collections.Counter()
        self.failures: collections.Counter[str] = collections.Counter()
        self.stopped = threading.Event()
        self._flags = flags
        self._ports = [(process.free_port(), process.free_port()) for _ in range(2)]
        self.servers = [self._start(number) for number in range(2)]
        self._resting: set[int] = set()
        self._peaks: list[float] = []
        self._threads: list[threading.Thread] = []

    def _start(self, number: int) -> Server:
        return start(self.releases, *self._ports[number], *self._flags)

    @property
    def addresses(self) -> list[str]:
        """Of both servers."""
        return [server.address for server in self.servers]

    def run(self, name: str, step: Callable[[], Any], pause: float = 0.0) -> None:
        """Repeats a step in a thread; what it raises is a failure."""

        def repeat() -> None:
            while not self.stopped.wait(pause):
                try:
                    step()
                    self.seen[name] += 1
                except Exception as error:
                    self.failures[f"{name}: {type(error).__name__}: {error}"[:300]] += 1

        self._threads.append(threading.Thread(target=repeat, name=name))
        self._threads[-1].start()

    def restart(self) -> None:
        """Ends the first server and starts it again; the second serves alone meanwhile."""
        self._resting.add(0)
        self._peaks.append(self.servers[0].peak_megabytes())
        self.servers[0].process.terminate()
        if self.servers[0].process.wait(60):
            self.failures["the server ended with an error"] += 1
        self.servers[0] = self._start(0)
        wait_until_served([self.servers[0].address])
        self._resting.discard(0)

    def peak(self) -> float:
        """The most megabytes that a server had."""
        return max(*self._peaks, *(server.peak_megabytes() for server in self.servers), 0.0)

    def rest_lives(self) -> None:
        """Asks each server that is not being restarted over REST."""
        for number, server in enumerate(self.servers):
            try:
                status = rest(server, "GET", f"/v1/models/{FUSED}")
            except OSError:
                if number not in self._resting:
                    raise
            else:
                assert status == 200, status

    def stop(self) -> None:
        """Ends the threads, then the servers."""
        self.stopped.set()
        for thread in self._threads:
            thread.join()
        for server in self.servers:
            server.process.terminate()
        for server in self.servers:
            server.process.wait(60)


def rest(server: Server, verb: str, path: str, body: bytes | None = None, **headers: str) -> int:
    """The HTTP status of a request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=TIMEOUT_SECONDS)
    with contextlib.closing(connection):
        connection.request(verb, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        response.read()
        return response.status


def wait_until_served(addresses: list[str]) -> None:
    """Until each server has the model."""
    import homefeed_client

    for address in addresses:
        with homefeed_client.PredictionClient(address) as client:
            client.wait_until_available(FUSED, timeout_seconds=300)


def good_client(soak: Soak, client: Any) -> Callable[[], None]:
    """Asks for lists by label, and holds them against those of the same model in this process."""
    local, inputs = soak.setting.local, soak.setting.inputs["recommend"][:50]
    expected = [local.predict(FUSED, "recommend", some)["item_ids"] for some in inputs]
    generator = np.random.default_rng()

    def ask() -> None:
        number = int(generator.integers(len(inputs)))
        page = client.predict(
            FUSED, inputs[number], signature="recommend", label="stable", timeout_seconds=TIMEOUT_SECONDS
        )
        soak.seen[f"version {page.model_version}"] += 1
        np.testing.assert_array_equal(page.outputs["item_ids"], expected[number])

    return ask


def hostile(soak: Soak, changed: Mapping[str, Any], *codes: str) -> Callable[[], None]:
    """Sends a request to the first server that ends with one of these codes, or with UNAVAILABLE."""
    import grpc
    from homefeed_client import tensors

    from homefeed.serving.model_server.messages import PredictRequest

    request = PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = FUSED, "recommend"
    for name, value in (dict(soak.setting.inputs["recommend"][0]) | changed).items():
        request.inputs[name].CopyFrom(tensors.to_proto(np.asarray(value)))
    call = grpc.insecure_channel(soak.addresses[0]).unary_unary(_load.PREDICT)

    def send() -> None:
        try:
            call(request.SerializeToString(), timeout=TIMEOUT_SECONDS)
            code = "OK"
        except grpc.RpcError as error:
            code = error.code().name
        assert code in (*codes, "UNAVAILABLE", "CANCELLED"), code

    return send


def bomb(soak: Soak) -> Callable[[], None]:
    """Sends a body that would be 256 MB."""
    packed = gzip.compress(b" " * 2**28, 9)

    def send() -> None:
        # Refused or gone: the server may close before it has read all, and it may be restarting.
        with contextlib.suppress(OSError, http.client.HTTPException):
            status = rest(soak.servers[0], "POST", f"/v1/models/{FUSED}:predict", packed, Content_Encoding="gzip")
            assert status in (413, 503), status

    return send


def hold_connections(soak: Soak) -> None:
    """Keeps idle and dripping connections to both ports of the first server, and makes those anew that it closes."""

    async def hold(port: int, *, drips: bool) -> None:
        loop = asyncio.get_running_loop()
        while not soak.stopped.is_set():
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                ended = loop.create_task(reader.read())
                while not ended.done() and not soak.stopped.is_set():
                    if drips:
                        writer.write(b"G")
                    await asyncio.wait([ended], timeout=1.0)
                ended.cancel()
                writer.close()
            await asyncio.sleep(0.5)

    async def hold_all() -> None:
        server = soak.servers[0]
        ports = (server.rest_port, int(server.address.rsplit(":", 1)[1]))
        kinds = [False] * NUM_IDLE + [True] * NUM_DRIPPING
        await asyncio.gather(*(hold(ports[at % 2], drips=drips) for at, drips in enumerate(kinds)))

    asyncio.run(hold_all())


def push(setting: Setting, releases: Releases) -> None:
    """Publishes the fused model anew."""
    releases.push({FUSED: setting.models[FUSED]}, extras={FUSED: {WARMUP_FILE: setting.warmup[FUSED]}})


def warm_up_rounds(setting: Setting) -> int:
    """How often the warm-up records have to run for a load of LOAD_SECONDS."""
    begin = time.monotonic()
    for some in setting.inputs["recommend"][:20]:
        setting.local.predict(FUSED, "recommend", some)
    return max(1, round(LOAD_SECONDS / ((time.monotonic() - begin) / 20 * 10)))


@contextlib.contextmanager
def soaking(root: pathlib.Path, rounds: int) -> Iterator[Soak]:
    """Two servers at rest, which have answered some requests."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        setting = prepare(root, folder)
        releases = Releases(folder / "served")
        push(setting, releases)
        rounds = rounds or warm_up_rounds(setting)
        soak = Soak(setting, releases, [f"--num_request_iterations_for_warmup={rounds}"])
        try:
            wait_until_served(soak.addresses)
            yield soak
        finally:
            soak.stop()


def soak_for(soak: Soak, seconds: float) -> dict[str, float]:
    """Runs everything for some time."""
    import homefeed_client

    with homefeed_client.PredictionClient(soak.addresses) as client:
        for number in range(NUM_CLIENTS):
            soak.run(f"good client {number}", good_client(soak, client), 0.01)
        time.sleep(min(20.0, seconds / 6))
        at_rest = max(server.megabytes() for server in soak.servers)
        begin = time.monotonic()
        threading.Thread(target=hold_connections, args=[soak], daemon=True).start()
        soak.run("push", lambda: push(soak.setting, soak.releases), PUSH_SECONDS)
        soak.run("REST", soak.rest_lives, 1.0)
        soak.run("gzip bomb", bomb(soak), 0.5)
        soak.run("huge k", hostile(soak, {"k": np.array([2**31 - 1], np.int32)}, "OK"), 0.5)
        for width in (2, 7):
            some = np.full([1, width], b"", object)
            soak.run("malformed width", hostile(soak, {"history": some}, "INVALID_ARGUMENT"), 0.05)
        soak.run("malformed type", hostile(soak, {"k": np.array([1.0], np.float32)}, "INVALID_ARGUMENT"), 0.05)
        for number in range(NUM_RESTARTS):
            time.sleep(max(0.0, begin + seconds * (number + 1) / (NUM_RESTARTS + 1) - time.monotonic()))
            soak.restart()
        time.sleep(max(0.0, begin + seconds - time.monotonic()))
        peak = soak.peak()
        soak.stop()
    counted = {name: sum(n for key, n in soak.seen.items() if key.startswith(name)) for name in ("good", "push")}
    return {
        "good_requests": counted["good"],
        "failed_good_requests": sum(n for key, n in soak.failures.items() if key.startswith("good")),
        "other_failures": sum(n for key, n in soak.failures.items() if not key.startswith("good")),
        "pushes": counted["push"],
        "versions_seen": sum(key.startswith("version ") for key in soak.seen),
        "memory_at_rest_mb": at_rest,
        "memory_peak_mb": peak,
        "memory_ratio": peak / at_rest,
        "rest_checks": soak.seen["REST"],
    }


def main() -> None:
    """Soaks and merges `soak.*` into the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("var/movielens-100k/root"))
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rounds", type=int, default=0, help="of warm-up at a load; 0: as many as take 10 seconds")
    parser.add_argument("--dry-run", action="store_true", help="print only")
    options = parser.parse_args()
    raise_file_limit()
    with soaking(options.root, options.rounds) as soak:
        figures = soak_for(soak, options.seconds)
    for name, value in sorted(soak.seen.items()):
        print(f"{name:30} {value}")
    for name, value in figures.items():
        print(f"soak.{name:30} {value:.6g}")
    for words, count in soak.failures.most_common(20):
        print(f"{count} × {words}")
    if not options.dry_run:
        results.merge("soak", {name: round(value, 3) for name, value in figures.items()})


if __name__ == "__main__":
    main()
