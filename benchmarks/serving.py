"""Serving: latency, throughput, CPU and memory of the pushed models, at rest and while versions change.

    python -m benchmarks.serving --root ROOT [--seconds 10] [--reload-seconds 60] [--parts latency reload]

ROOT is that of a finished `homefeed run`. The models are served from a copy by our model server with the flags of
`homefeed serve`; the clients run in a process of their own on the same machine. Writes `results.json`.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import pathlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import _load, results
from benchmarks._server import Server, serving
from homefeed.models.requests import Request
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.predictors import LocalPredictor
from homefeed.serving.profiles import ProfileStore
from homefeed.serving.recommender import FUSED, RANKING, RETRIEVAL, Recommender, num_candidates_of
from homefeed.serving.releases import WARMUP_FILE, Releases
from homefeed.serving.releases.server_config import STABLE
from homefeed.serving.releases.warmup_requests import Recorder

CALLS = {"retrieve": RETRIEVAL, "rank": RANKING, "recommend": FUSED}
NUM_CLIENTS = (1, 8, 32)
NUM_USERS = 200
NUM_WARMUP_REQUESTS = 5
PUSHES_A_BURST, BURSTS_A_ROLLBACK, NUM_RELOAD_CLIENTS = 3, 3, 16

Figures = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is measured.

    Attributes:
        models: model name → SavedModel.
        inputs: signature → the inputs of single requests.
        warmup: model name → its warm-up records.
    """

    models: dict[str, pathlib.Path]
    local: LocalPredictor
    requests: list[Request]
    inputs: dict[str, list[Mapping[str, Any]]]
    warmup: dict[str, pathlib.Path]


class _Asked(Recorder):
    """Gives back the inputs as they were sent."""

    def inputs_of(self, model: str) -> list[Mapping[str, Any]]:
        return [inputs for name, _, inputs in self._asked if name == model]


def prepare(root: pathlib.Path, folder: pathlib.Path) -> Setting:
    """Finds the models of a root and makes one request a user and signature."""
    releases = Releases(RunRoot(root).serving)
    version = releases.stable()
    models = {name: pathlib.Path(releases.path(name, version)) for name in (RETRIEVAL, RANKING, FUSED)}
    profiles = ProfileStore(RunRoot(root).profiles)
    requests = [profiles.get(user) for user, _ in zip(profiles.user_ids(), range(NUM_USERS), strict=False)]
    local = LocalPredictor(models)
    asked, warm = _Asked(local), Recorder(local)
    for recorder, some in ((asked, requests), (warm, requests[:NUM_WARMUP_REQUESTS])):
        for request in some:
            recommender = Recommender(recorder, num_candidates_of(models[FUSED]))
            recommender.recommend_at_once([request])
            recommender.candidates_in_two_steps([request])
    warmup = {name: folder / f"{name}.warmup" for name in models}
    for name, path in warmup.items():
        warm.write(name, path)
    inputs = {signature: asked.inputs_of(model) for signature, model in CALLS.items()}
    return Setting(models, local, requests, inputs, warmup)


def publish(setting: Setting, releases: Releases) -> int:
    """Pushes the models with their warm-up records."""
    return releases.push(setting.models, extras={name: {WARMUP_FILE: path} for name, path in setting.warmup.items()})


def messages(setting: Setting, signature: str, label: str = "") -> list[bytes]:
    """The requests of a signature, ready to be sent; without a label they mean the newest version."""
    from homefeed_client import tensors

    from homefeed.serving.model_server.messages import PredictRequest

    serialized = []
    for inputs in setting.inputs[signature]:
        request = PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = CALLS[signature], signature
        if label:
            request.model_spec.version_label = label
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tensors.to_proto(value))
        serialized.append(request.SerializeToString())
    return serialized


def latency(setting: Setting, folder: pathlib.Path, seconds: float) -> Figures:
    """In-process calls, the server at several numbers of clients, the thin client, batches, and the cold start."""
    figures: Figures = {}
    for signature, model in CALLS.items():
        call = functools.partial(setting.local.predict, model, signature)
        local = timed(call, setting.inputs[signature], seconds)
        figures |= summary(f"{signature}.in_process", local)
    releases = Releases(folder)
    publish(setting, releases)
    with serving(releases) as server:
        figures |= cold_start(setting, server)
        for signature in CALLS:
            name, requests = f"{signature}.server", messages(setting, signature)
            for num_clients in NUM_CLIENTS:
                figures |= at(server, requests, f"{name}.clients_{num_clients}", num_clients, seconds)
            in_process, alone = figures[f"{signature}.in_process.p50_ms"], figures[f"{name}.clients_1.p50_ms"]
            figures[f"{name}.ratio_to_in_process"] = alone / in_process
            rates = [figures[f"{name}.clients_{number}.per_second"] for number in (1, 32)]
            figures[f"{name}.throughput_32_to_1"] = rates[1] / rates[0]
        figures |= thin_client(setting, server, seconds)
        figures["memory_mb"] = server.megabytes()
    figures["cold_start.first_to_p99"] = figures["cold_start.first_ms"] / figures["recommend.server.clients_1.p99_ms"]
    figures |= batches(setting)
    return figures


def cold_start(setting: Setting, server: Server) -> Figures:
    """From the start of the process to the first answer, and how long that one took once the port was open."""
    import grpc

    first = messages(setting, "recommend")[0]
    options = [("grpc.max_reconnect_backoff_ms", 100), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(server.address, options) as channel:
        grpc.channel_ready_future(channel).result(timeout=120)
        begin = time.perf_counter()
        channel.unary_unary(_load.PREDICT)(first, timeout=60)
        end = time.perf_counter()
    return {"cold_start.seconds": end - server.started, "cold_start.first_ms": (end - begin) * 1000}


def at(server: Server, requests: list[bytes], name: str, num_clients: int, seconds: float) -> Figures:
    """A number of clients for some seconds, after a short run that is not counted."""
    _load.run(_load.Job(server.address, requests, num_clients, min(2.0, seconds / 2)))
    before = server.cpu_seconds()
    load = _load.run(_load.Job(server.address, requests, num_clients, seconds))
    figures = summary(name, load.latencies)
    figures[f"{name}.per_second"] = len(load.latencies) / seconds
    figures[f"{name}.per_cpu_second"] = len(load.latencies) / (server.cpu_seconds() - before)
    figures[f"{name}.errors"] = sum(load.errors.values())
    return figures


def thin_client(setting: Setting, server: Server, seconds: float) -> Figures:
    """`homefeed_client` with arrays in and out, one call at a time."""
    import homefeed_client

    figures: Figures = {}
    with homefeed_client.PredictionClient(server.address) as client:
        for signature, model in CALLS.items():
            call = functools.partial(client.predict, model, signature=signature)
            figures |= summary(f"{signature}.thin_client", timed(call, setting.inputs[signature], seconds))
    return figures


def batches(setting: Setting) -> Figures:
    """`recommend` for all users in batches of 128, in process."""
    begin, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(setting.requests), 128):
        Recommender(setting.local).recommend(setting.requests[start : start + 128])
    count = len(setting.requests)
    return {
        "recommend.batch.per_second": count / (time.perf_counter() - begin),
        "recommend.batch.per_cpu_second": count / (time.process_time() - cpu),
    }


def reload(setting: Setting, folder: pathlib.Path, seconds: float) -> Figures:
    """Clients that ask for `stable` all the time, while pushes come faster than loads, with some rollbacks."""
    releases = Releases(folder)
    publish(setting, releases)
    publish(setting, releases)
    requests = messages(setting, "recommend", STABLE)
    with serving(releases) as server:
        cold_start(setting, server)
        _load.run(_load.Job(server.address, requests, NUM_RELOAD_CLIENTS, 3))
        _wait_until_settled(server)
        rest = _load.run(_load.Job(server.address, requests, NUM_RELOAD_CLIENTS, seconds / 3))
        memory = server.megabytes()
        load_seconds = _load_seconds(setting, releases, server)
        clients = _load.start(_load.Job(server.address, requests, NUM_RELOAD_CLIENTS, seconds))
        num_pushes = _change_versions(setting, releases, seconds, load_seconds)
        changing = _load.result(clients)
        _wait_until_settled(server)
        memory_after = server.megabytes()
    p99_rest, p99 = (float(np.percentile(load.latencies, 99)) for load in (rest, changing))
    for words in changing.errors:
        print(words)
    return {
        "reload.requests": len(changing.latencies),
        "reload.failed": sum(changing.errors.values()) + sum(rest.errors.values()),
        "reload.load_seconds": load_seconds,
        "reload.push_seconds": load_seconds / PUSHES_A_BURST,
        "reload.pushes": num_pushes,
        "reload.versions_seen": len(changing.versions),
        "reload.rest.p99_ms": p99_rest,
        "reload.p99_ms": p99,
        "reload.p99_ratio": p99 / p99_rest,
        "reload.memory_before_mb": memory,
        "reload.memory_after_mb": memory_after,
    }


def _wait_until_settled(server: Server) -> None:
    """Until nothing is loaded or unloaded any more."""
    import homefeed_client

    with homefeed_client.PredictionClient(server.address) as client:
        calm = 0
        while calm < 5:
            states = {status.state for model in CALLS.values() for status in client.status(model)}
            calm = calm + 1 if states <= {"AVAILABLE", "END"} else 0
            time.sleep(1)


def _load_seconds(setting: Setting, releases: Releases, server: Server) -> float:
    """From a push until its last model is there."""
    import homefeed_client

    with homefeed_client.PredictionClient(server.address) as client:
        begin, version = time.monotonic(), publish(setting, releases)
        for model in CALLS.values():
            client.wait_until_available(model, version=version, timeout_seconds=300)
        return time.monotonic() - begin


def _change_versions(setting: Setting, releases: Releases, seconds: float, load_seconds: float) -> int:
    """Bursts of pushes within one load, each with time to settle, and now and then a rollback. Gives the pushes."""
    end = time.monotonic() + seconds - 2
    for burst in itertools.count(1):
        for _ in range(PUSHES_A_BURST):
            publish(setting, releases)
            time.sleep(load_seconds / PUSHES_A_BURST)
        if burst % BURSTS_A_ROLLBACK == 0:
            releases.rollback(settle_seconds=1.0)
        if time.monotonic() >= end:
            return burst * PUSHES_A_BURST
        time.sleep(2 * load_seconds)
    raise AssertionError("counting has no end")


def timed(call: Any, inputs: Sequence[Mapping[str, Any]], seconds: float) -> list[float]:
    """Milliseconds of each call, one after the other, after a first round that is not counted."""
    for some in inputs[:20]:
        call(some)
    taken = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.perf_counter()
        call(inputs[len(taken) % len(inputs)])
        taken.append((time.perf_counter() - begin) * 1000)
    return taken


def summary(name: str, latencies: Sequence[float]) -> Figures:
    """p50, p95 and p99."""
    return {f"{name}.p{rank}_ms": float(np.percentile(latencies, rank)) for rank in (50, 95, 99)}


def main() -> None:
    """Measures and merges `serving.*` into the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("var/movielens-100k/root"))
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--reload-seconds", type=float, default=60)
    parser.add_argument("--parts", nargs="+", choices=["latency", "reload"], default=["latency", "reload"])
    parser.add_argument("--dry-run", action="store_true", help="print only")
    options = parser.parse_args()
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        setting = prepare(options.root, folder)
        if "latency" in options.parts:
            figures |= latency(setting, folder / "latency", options.seconds)
        if "reload" in options.parts:
            figures |= reload(setting, folder / "reload", options.reload_seconds)
    results.tell("serving", figures, keep=not options.dry_run)


if __name__ == "__main__":
    main()
