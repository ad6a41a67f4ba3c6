"""Ingest at scale: ExampleGen, StatisticsGen, SchemaGen, ExampleValidator and Transform on generated logs.

    python -m benchmarks.ingest [--rows 1000000 10000000] [--gigabytes 2]

The last log, of so many gigabytes, goes through ExampleGen alone, to show that its memory does not grow. Logs are
written to the system's temporary folder and removed. Each one is measured in a process of its own. CPU seconds are
user and system time of that process and its children, beyond importing the libraries; peak memory is of the whole
process, libraries included. The exponent, of the first and the last log that all components read, says how CPU
seconds grow with rows: 1 is in proportion.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from benchmarks import results

NUM_ITEMS, NUM_USERS = 20_000, 50_000
DESCRIPTION = """\
name: ingest-benchmark
interactions:
  path: interactions.csv
items: {path: items.csv}
users: {path: users.csv}
"""
COMPONENTS = ("example_gen", "statistics_gen", "schema_gen", "example_validator", "transform")
BYTES_A_ROW = 38.5  # Of the generated logs.
EVENT_TYPES = ("view", "click", "purchase")


def generate(folder: pathlib.Path, num_rows: int, seed: int = 0) -> int:
    """Writes a log of five columns with long tails; returns its size in bytes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    users = pa.array([f"user-{user}" for user in range(NUM_USERS)])
    items = pa.array([f"item-{item}" for item in range(NUM_ITEMS)])
    with (folder / "interactions.csv").open("w", encoding="utf-8") as file:
        file.write("user_id,item_id,timestamp,event_type,value\n")
        for start in range(0, num_rows, 500_000):
            size = min(500_000, num_rows - start)
            columns = [
                users.take(pa.array((NUM_USERS * rng.random(size) ** 1.5).astype(int))),
                items.take(pa.array((NUM_ITEMS * rng.random(size) ** 3).astype(int))),
                pa.array(1_700_000_000 + rng.integers(0, 90 * 86_400, size)).cast(pa.string()),
                pa.array(EVENT_TYPES).take(pa.array(rng.choice(3, size, p=(0.8, 0.15, 0.05)))),
                pa.array(rng.integers(1, 6, size)).cast(pa.string()),
            ]
            lines = pc.binary_join_element_wise(*columns, ",")
            file.write("\n".join(lines.to_pylist()) + "\n")
    titles = "".join(f"item-{item},Title of thing {item}\n" for item in range(NUM_ITEMS))
    (folder / "items.csv").write_text("item_id,title\n" + titles)
    (folder / "users.csv").write_text("user_id\n" + "".join(f"user-{user}\n" for user in range(NUM_USERS)))
    (folder / "dataset.yaml").write_text(DESCRIPTION)
    return (folder / "interactions.csv").stat().st_size


def measure(data: pathlib.Path, out: pathlib.Path, components: Collection[str] = COMPONENTS) -> dict[str, float]:
    """Runs the components, or the first of them, in this process."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from homefeed.components import example_gen, example_validator, schema_gen, statistics_gen, transform
    from homefeed.components.artifacts.types import (
        DatasetDir,
        ExampleAnomalies,
        Examples,
        ExampleStatistics,
        Quarantine,
        Schema,
        TransformGraph,
    )

    found = {"imports_cpu_seconds": _cpu_of(_import_libraries), "imports_rss_mb": _peak_mb()}
    tables = ("interactions", "items", "users")
    examples = [Examples(out / "examples" / table) for table in tables]
    statistics = [ExampleStatistics(out / "statistics" / table) for table in tables]
    schemas = [Schema(out / "schema" / table) for table in tables]
    dataset, quarantine, exposures = DatasetDir(data), Quarantine(out / "quarantine"), Examples(out / "exposures")
    transformed = transform.Outputs(TransformGraph(out / "graph"), Examples(out / "transformed"))
    steps: dict[str, Any] = {
        "example_gen": lambda: example_gen.run(
            example_gen.Inputs(dataset),
            example_gen.Outputs(*examples, exposures, Examples(out / "relations"), quarantine),
            example_gen.Config(),
        ),
        "statistics_gen": lambda: statistics_gen.run(
            statistics_gen.Inputs(*examples), statistics_gen.Outputs(*statistics), statistics_gen.Config()
        ),
        "schema_gen": lambda: schema_gen.run(
            schema_gen.Inputs(dataset, *statistics), schema_gen.Outputs(*schemas), schema_gen.Config()
        ),
        "example_validator": lambda: example_validator.run(
            example_validator.Inputs(dataset, quarantine, examples[0], *statistics, *schemas),
            example_validator.Outputs(ExampleAnomalies(out / "anomalies")),
            example_validator.Config(),
        ),
        "transform": lambda: transform.run(
            transform.Inputs(dataset, *examples, exposures), transformed, transform.Config()
        ),
    }
    start = time.monotonic()
    for name in components:
        found[f"{name}.cpu_seconds"] = _cpu_of(steps[name])
        found[f"{name}.peak_rss_mb"] = _peak_mb()
    found["wall_seconds"] = time.monotonic() - start
    found["cpu_seconds"] = sum(found[f"{name}.cpu_seconds"] for name in components)
    found["peak_rss_mb"] = _peak_mb()
    return found


def _import_libraries() -> None:
    import tensorflow as tf
    import tensorflow_data_validation  # noqa: F401

    import homefeed.components.example_gen.beam
    import homefeed.models.behaviour_text  # noqa: F401

    tf.constant(0)  # Sets up the runtime.


def _cpu_of(step: Any) -> float:
    before = _cpu()
    step()
    return _cpu() - before


def _cpu() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report(name: str, num_rows: int, num_bytes: int, found: dict[str, float]) -> dict[str, float]:
    """Prints a table and returns the figures to keep, by key."""
    print(f"\n{num_rows:,} rows, {num_bytes / 1e6:,.0f} MB of CSV")
    print(f"{'':20}{'CPU s':>8}{'rows / CPU s':>16}{'peak MB':>10}")
    for step in (component for component in COMPONENTS if f"{component}.cpu_seconds" in found):
        seconds, peak = found[f"{step}.cpu_seconds"], found[f"{step}.peak_rss_mb"]
        print(f"{step:20}{seconds:8.2f}{num_rows / max(seconds, 1e-9):16,.0f}{peak:10,.0f}")
    seconds, peak = found["cpu_seconds"], found["peak_rss_mb"]
    print(f"{'all':20}{seconds:8.2f}{num_rows / seconds:16,.0f}{peak:10,.0f}")
    print(f"imports: {found['imports_cpu_seconds']:.1f} CPU s, {found['imports_rss_mb']:,.0f} MB")
    kept = {f"{name}.{key}": round(value, 3) for key, value in found.items()}
    kept[f"{name}.rows"] = num_rows
    kept[f"{name}.megabytes"] = round(num_bytes / 1e6, 1)
    kept[f"{name}.example_gen.rows_per_cpu_second"] = round(num_rows / found["example_gen.cpu_seconds"])
    return kept


def run(name: str, num_rows: int, components: Collection[str] = COMPONENTS) -> dict[str, float]:
    """Generates a log, measures the components in a process of their own, reports, and removes the log."""
    with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as folder:
        data, out = pathlib.Path(folder, "data"), pathlib.Path(folder, "out")
        num_bytes = generate(data, num_rows)
        arguments = ["--measure", str(data), str(out), "--components", *components]
        command = [sys.executable, "-m", "benchmarks.ingest", *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        return report(name, num_rows, num_bytes, json.loads(done.stdout.splitlines()[-1]))


def _exponent(figures: Mapping[str, float]) -> float:
    rows, seconds = (
        [value for name, value in figures.items() if name.endswith(f".{wanted}") and name.count(".") == 1]
        for wanted in ("rows", "cpu_seconds")
    )
    exponent = math.log(seconds[-1] / seconds[0]) / math.log(rows[-1] / rows[0])
    print(f"\nCPU seconds grow with rows to the power of {exponent:.2f}")
    return round(exponent, 3)


def main() -> None:
    """Generates, measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--gigabytes", type=float, default=2, help="of the log that only ExampleGen reads; 0: none")
    parser.add_argument("--measure", nargs=2, metavar=("DATA", "OUT"), help=argparse.SUPPRESS)
    parser.add_argument("--components", nargs="+", default=COMPONENTS, help=argparse.SUPPRESS)
    arguments, _ = parser.parse_known_args()
    if arguments.measure:
        print(json.dumps(measure(*map(pathlib.Path, arguments.measure), arguments.components)))
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    figures: dict[str, float] = {}
    for num_rows in arguments.rows:
        figures |= run(f"{num_rows // 1_000_000}m" if num_rows >= 1_000_000 else str(num_rows), num_rows)
    if len(arguments.rows) > 1:
        figures["exponent"] = _exponent(figures)
    if arguments.gigabytes:
        num_rows = int(arguments.gigabytes * 1e9 / BYTES_A_ROW)
        figures |= run(f"{arguments.gigabytes:g}gb", num_rows, COMPONENTS[:1])
    results.merge("ingest", figures)


if __name__ == "__main__":
    main()
