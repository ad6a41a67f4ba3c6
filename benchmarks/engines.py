"""ExampleGen and Transform on engines whose workers are processes of their own, beside the run in one process.

    python -m benchmarks.engines [--rows 1000000] [--engines dask spark prism]

Needs what `make test-engines` installs. A million rows are two shards. The log lies in 8 files, as a file is the
least that one worker reads. CPU seconds and memory are of all processes together: who asks, the engine, its
workers. The engine was started before, without the libraries, so each worker imports them once. Memory is the
highest sum of what processes hold, with the pages that they share counted in each. What is written is held against
the run in one process, byte for byte.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence

from benchmarks import ingest, results

FILES = 8
HERE = "in_process"


class Meter:
    """CPU seconds and memory of processes and all that they start, looked at five times a second."""

    def __init__(self, processes: Sequence[int]):
        self._roots = processes
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self.peak_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Meter:
        self._look(begin=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def cpu_seconds(self) -> float:
        """Since the beginning."""
        return sum(seconds - self._first.get(pid, 0) for pid, seconds in self._last.items())

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            self._look()

    def _look(self, begin: bool = False) -> None:
        import psutil

        held = 0
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                self._last[process.pid] = times.user + times.system
                held += process.memory_info().rss
        if begin:
            self._first = dict(self._last)
        self.peak_bytes = max(self.peak_bytes, held)

    def _processes(self) -> Iterator:
        import psutil

        for root in self._roots:
            with contextlib.suppress(psutil.NoSuchProcess):
                yield psutil.Process(root)
                yield from psutil.Process(root).children(recursive=True)


def generate(folder: pathlib.Path, num_rows: int) -> None:
    """Writes the log of `benchmarks.ingest`, over several files."""
    ingest.generate(folder, num_rows)
    header, *lines = (folder / "interactions.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "interactions.csv").unlink()
    each = -(-len(lines) // FILES)
    for number in range(FILES):
        text = header + "".join(lines[number * each : (number + 1) * each])
        (folder / f"interactions-{number}.csv").write_text(text, encoding="utf-8")
    description = folder / "dataset.yaml"
    description.write_text(description.read_text().replace("interactions.csv", "interactions-*.csv"))


def measure(data: pathlib.Path, out: pathlib.Path, engine: str, work: pathlib.Path) -> dict[str, float]:
    """One run of ExampleGen and Transform: wall and CPU seconds, and memory."""
    from tests.engines.clusters import ENGINES

    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(ENGINES[engine](work / engine)) if engine != HERE else None
        command = [sys.executable, "-m", "benchmarks.engines", "--data-plane", str(data), str(out)]
        command += [cluster.runner, *cluster.options] if cluster else []
        environment = {**os.environ, **(cluster.environment if cluster else {})}
        started = time.monotonic()
        asking = subprocess.Popen(command, env=environment)
        of_engine = [process.pid for process in cluster.started] if cluster else []
        with Meter([*of_engine, asking.pid]) as meter:
            status = asking.wait()
        if status:
            sys.exit(f"{engine}: the data plane ended with {status}")
        seconds = time.monotonic() - started
    return {"wall_seconds": seconds, "cpu_seconds": meter.cpu_seconds, "peak_mb": meter.peak_bytes / 2**20}


def run_data_plane(data: str, out: str, runner: str = "FnApiRunner", *options: str) -> None:
    """ExampleGen and Transform in this process, or asked for from it."""
    from homefeed.components import transform
    from homefeed.components.artifacts.types import DatasetDir, Examples, TransformGraph
    from tests.components import ingested

    chosen, folder = {"runner": runner, "beam_options": options}, pathlib.Path(out)
    found = ingested.ingest(pathlib.Path(data), folder, **chosen)
    inputs = transform.Inputs(
        DatasetDir(pathlib.Path(data)), found.interactions, found.items, found.users, found.exposures
    )
    outputs = transform.Outputs(TransformGraph(folder / "graph"), Examples(folder / "sequences"))
    transform.run(inputs, outputs, transform.Config(**chosen))


def main() -> None:
    """Generates, measures, compares, prints, keeps."""
    if sys.argv[1:2] == ["--data-plane"]:  # The options of Beam follow.
        run_data_plane(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--engines", nargs="*", default=["dask", "spark", "prism"])
    arguments, _ = parser.parse_known_args()
    from tests.components.ingested import digests

    figures: dict[str, float] = {"rows": arguments.rows}
    print(f"{'':12}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}  same bytes")
    with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as name:
        folder = pathlib.Path(name)
        generate(folder / "data", arguments.rows)
        for engine in (HERE, *arguments.engines):
            found = measure(folder / "data", folder / engine, engine, folder / "work")
            same = digests(folder / engine) == digests(folder / HERE)
            print(f"{engine:12}" + "".join(f"{value:9,.1f}" for value in found.values()) + f"  {same}")
            if not same:
                sys.exit(f"{engine} wrote other bytes than this process")
            figures |= {f"{engine}.{key}": round(value, 2) for key, value in found.items()}
    results.merge("engines", figures)


if __name__ == "__main__":
    main()
