"""What it costs that requests do not touch each other: the model server beside itself without its guards.

    python -m benchmarks.isolation --root ROOT [--signature recommend] [--clients 1 8 32] [--rounds 8] [--seconds 3]

ROOT is that of a finished `homefeed run`. Two servers serve a copy of its models with the flags of `homefeed serve`:
ours, and ours without what `_unguarded` takes out, on models without their assertions. Each in turn is asked for some
seconds, in the order A B B A, so that whatever else the machine does falls on both. CPU time is that of the server's
process. Writes `results.json`.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence

import homefeed_client
import numpy as np

from benchmarks import _load, results
from benchmarks._server import OURS, Server, serving
from benchmarks._unguarded import without_checks
from benchmarks.serving import CALLS, NUM_CLIENTS, Figures, Setting, messages, prepare, publish
from homefeed.serving.releases import Releases

_GUARDED, _UNGUARDED = "guarded", "unguarded"


@contextlib.contextmanager
def both(setting: Setting, folder: pathlib.Path) -> Iterator[dict[str, Server]]:
    """The two servers, with every model loaded."""
    with contextlib.ExitStack() as stack:
        servers = {}
        for name, program in ((_GUARDED, OURS), (_UNGUARDED, "benchmarks._unguarded")):
            releases = Releases(folder / name)
            publish(setting if program == OURS else _bare(setting, folder), releases)
            servers[name] = server = stack.enter_context(serving(releases, program))
            with homefeed_client.PredictionClient(server.address) as client:
                for model in CALLS.values():
                    client.wait_until_available(model, timeout_seconds=300)
        yield servers


def _bare(setting: Setting, folder: pathlib.Path) -> Setting:
    """The same models without their assertions."""
    models = {}
    for name, path in setting.models.items():
        models[name] = folder / f"{name}.bare"
        shutil.copytree(path, models[name])
        without_checks(models[name])
    return Setting(models, setting.local, setting.requests, setting.inputs, setting.warmup)


def compare(
    servers: dict[str, Server], requests: list[bytes], num_clients: int, rounds: int, seconds: float
) -> Figures:
    """CPU milliseconds a request and requests a second of both, and the ratios of pairs with their interval."""
    cpu: dict[str, list[float]] = {name: [] for name in servers}
    rate: dict[str, list[float]] = {name: [] for name in servers}
    for place in range(-1, rounds):
        for name in servers if place % 2 else reversed(servers):
            before = servers[name].cpu_seconds()
            load = _load.run(_load.Job(servers[name].address, requests, num_clients, seconds))
            assert not load.errors, load.errors
            if place >= 0:  # The first of all was the warm-up.
                count = len(load.latencies)
                cpu[name].append((servers[name].cpu_seconds() - before) / count * 1000)
                rate[name].append(count / seconds)
    figures: Figures = {}
    for name in servers:
        figures[f"{name}.cpu_ms"], figures[f"{name}.per_second"] = np.median(cpu[name]), np.median(rate[name])
    for what, found in (("cpu", cpu), ("throughput", rate)):
        low, middle, high = ratio(found[_GUARDED], found[_UNGUARDED])
        figures |= {f"{what}_ratio": middle, f"{what}_ratio.low": low, f"{what}_ratio.high": high}
    return figures


def ratio(values: Sequence[float], others: Sequence[float]) -> tuple[float, float, float]:
    """The geometric mean of the ratios of pairs, between the ends of its 95 % interval (bootstrap over pairs)."""
    logarithms = np.log(np.asarray(values) / np.asarray(others))
    drawn = np.random.default_rng(0).choice(logarithms, (10_000, len(logarithms))).mean(axis=1)
    low, high = np.exp(np.percentile(drawn, [2.5, 97.5]))
    return float(low), float(np.exp(logarithms.mean())), float(high)


def main() -> None:
    """Measures and merges `isolation.*` into the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("var/movielens-100k/root"))
    parser.add_argument("--signature", choices=list(CALLS), default="recommend")
    parser.add_argument("--clients", type=int, nargs="+", default=NUM_CLIENTS)
    parser.add_argument("--rounds", type=int, default=8, help="of each server")
    parser.add_argument("--seconds", type=float, default=3, help="of each round")
    parser.add_argument("--dry-run", action="store_true", help="print only")
    options = parser.parse_args()
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        setting = prepare(options.root, folder)
        requests = messages(setting, options.signature)
        with both(setting, folder) as servers:
            for count in options.clients:
                found = compare(servers, requests, count, options.rounds, options.seconds)
                figures |= {f"{options.signature}.clients_{count}.{name}": value for name, value in found.items()}
    results.tell("isolation", figures, keep=not options.dry_run)


if __name__ == "__main__":
    main()
