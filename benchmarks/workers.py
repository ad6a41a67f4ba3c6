"""What several workers give RetrievalTrainer, and what four times the batch gives: CPU seconds and seconds a step.

    python -m benchmarks.workers [--root FOLDER]

A simulated store is made and transformed; then the same windows are trained on by one process and by two on this
machine, side by side in one run. CPU seconds are those of all processes together.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import results
from benchmarks._program import homefeed

STORE = ("--users", "3000", "--items", "3000", "--events", "60000")
ARMS = {"one, batch 32": (1, 32), "one, batch 128": (1, 128), "two, batch 128": (2, 128)}
WINDOWS = 1536  # Of `max_events`, that each arm trains on after as many as warm it up.
WARM_UP = 2  # Steps, the first of which traces.


def measure(root: pathlib.Path) -> dict[str, float]:
    """Figures of every arm, by its name."""
    if not (root / "data").exists():
        homefeed("data", "sample", "--out", str(root / "data"), *STORE)
    homefeed("run", "--data", str(root / "data"), "--root", str(root), "--until", "transform")
    found: dict[str, float] = {}
    for name, (num_workers, batch_size) in ARMS.items():
        parts = _run(root, num_workers, batch_size)
        found[f"{name}.cpu_seconds_a_1000_windows"] = 1000 * sum(part["cpu"] for part in parts) / WINDOWS
        found[f"{name}.seconds_a_step"] = max(part["wall"] for part in parts) * batch_size / WINDOWS
        found[f"{name}.loss"] = parts[0]["loss"]
    return found


def _run(root: pathlib.Path, num_workers: int, batch_size: int) -> list[dict[str, float]]:
    """What each of some processes measured."""
    from homefeed.serving.process import free_port

    cluster = {"worker": [f"127.0.0.1:{free_port()}" for _ in range(num_workers)]}
    command = [sys.executable, "-m", "benchmarks.workers", "--root", str(root), "--batch-size", str(batch_size)]
    processes = []
    for index in range(num_workers):
        told = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        environment = {**os.environ, "TF_CONFIG": told}
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    told = [process.communicate()[0] for process in processes]
    return [json.loads(text.splitlines()[-1]) for text in told]


def work(root: pathlib.Path, batch_size: int) -> dict[str, float]:
    """One worker: CPU seconds and seconds of the steps after the first ones, and the mean loss of all."""
    import homefeed.models  # noqa: F401  Chooses the version of Keras.
    from homefeed.models.retrieval.training.devices import devices

    where = devices("workers")
    with where.scope():
        learner, batches = _learner(root, batch_size)
        losses = [learner.step(next(batches)) for _ in range(WARM_UP)]
        where.wait()
        cpu, wall = time.process_time(), time.perf_counter()
        losses += [learner.step(next(batches)) for _ in range(WINDOWS // batch_size)]
        loss = sum(float(loss) for loss in losses) / len(losses)
        found = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "loss": loss}
        where.wait()
    return found


def _learner(root: pathlib.Path, batch_size: int) -> tuple[Any, Iterator[Any]]:
    """As `fit_towers` begins, and the windows that it draws."""
    import numpy as np

    from homefeed.components.artifacts import transformed
    from homefeed.components.artifacts.types import Examples, TransformGraph
    from homefeed.models.retrieval.hyperparameters import Hyperparameters
    from homefeed.models.retrieval.training import fit
    from homefeed.models.retrieval.training.windows import Windows
    from homefeed.pipeline.runner.root import RunRoot

    (folder,) = (RunRoot(root).artifacts / "Transform").iterdir()
    graph, examples = TransformGraph(folder / "transform_graph"), Examples(folder / "examples")
    catalogue, train = transformed.load_catalogue(graph), transformed.load_sequences(graph, examples, "train")
    config = Hyperparameters(batch_size=batch_size, strategy="workers")
    windows, generator = Windows(train, config.max_events), np.random.default_rng(config.seed)
    _, learner = fit.begin(catalogue, train, config, num_steps=8000)
    batches = (batch for _ in iter(int, 1) for batch in windows.epoch(generator, batch_size))
    return learner, batches


def main() -> None:
    """Runs the arms, prints, keeps; with --batch-size one worker of an arm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, help="where data stay; removed without it")
    parser.add_argument("--batch-size", type=int, help=argparse.SUPPRESS)
    arguments, _ = parser.parse_known_args()
    if arguments.batch_size:
        print(json.dumps(work(arguments.root, arguments.batch_size)))
        return
    with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as folder:
        results.tell("workers", measure(arguments.root or pathlib.Path(folder)), keep=True)


if __name__ == "__main__":
    main()
