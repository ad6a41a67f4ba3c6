"""The pipeline on large data: CPU seconds, memory and quality of each component, as `homefeed run` says them.

    python -m benchmarks.scale [--size 1m 5m] [--root FOLDER] [--set component.field=value …]

A simulated store of so many events is made and the whole pipeline is run on it, in a process of its own. CPU seconds
are of the component, memory is the highest of the process until then; the disk is that of one version of all models.
Beside what the Evaluator measured on test stands implicit ALS, on the same queries.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

from benchmarks import _baselines, results
from benchmarks._program import homefeed
from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import Examples, TransformGraph
from homefeed.components.evaluator.queries import make_queries
from homefeed.models.evaluation import metrics
from homefeed.pipeline.runner.root import RunRoot

SIZES = {  # Users, items, events.
    "100k": (5_000, 5_000, 100_000),
    "1m": (50_000, 20_000, 1_000_000),
    "5m": (250_000, 200_000, 5_000_000),
    "many_users": (1_000_000, 20_000, 3_000_000),
}


def measure(size: str, root: pathlib.Path, settings: list[str]) -> dict[str, float]:
    """Makes the data, runs the pipeline, and reads what it says of itself."""
    data = root / f"data-{size}"
    if not data.exists():
        counts = zip(("--users", "--items", "--events"), map(str, SIZES[size]), strict=True)
        homefeed("data", "sample", "--out", str(data), *(word for pair in counts for word in pair))
    chosen = [word for setting in settings for word in ("--set", setting)]
    steps = json.loads(homefeed("run", "--data", str(data), "--root", str(root / size), "--json", *chosen))
    figures = read(steps) | quality({step["component"]: step["outputs"] for step in steps})
    figures["kilobytes_an_item"] = num_bytes(RunRoot(root / size).serving) / SIZES[size][1] / 1000
    print(f"a version of the models takes {figures['kilobytes_an_item']:.2f} KB an item on disk")
    return figures


def num_bytes(serving: pathlib.Path) -> int:
    """What the newest version of all models takes on disk; a file with several names counts once."""
    version = max(int(place.name) for place in serving.glob("*/*") if place.name.isdecimal())
    files = (file.stat() for file in serving.glob(f"*/{version}/**/*") if file.is_file())
    return sum({stat.st_ino: stat.st_size for stat in files}.values())


def read(steps: list[dict[str, Any]]) -> dict[str, float]:
    """Figures of a run: of each component, and of all."""
    found: dict[str, float] = {}
    for step in steps:
        name, seconds, peak = step["component"], step["cpu_seconds"], step["peak_mebibytes"]
        found |= {f"{name}.cpu_seconds": seconds, f"{name}.peak_mib": peak}
        print(f"{name:20}{seconds:10.1f} CPU s{peak:9,.0f} MiB  {step['summary']}")
    found["cpu_minutes"] = sum(step["cpu_seconds"] for step in steps) / 60
    found["peak_mib"] = max(step["peak_mebibytes"] for step in steps)
    print(f"{'all':20}{found['cpu_minutes'] * 60:10.1f} CPU s{found['peak_mib']:9,.0f} MiB")
    return found


def quality(outputs: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """NDCG@10 and Recall@100 on test by method, from what Transform and Evaluator wrote."""
    evaluation = pathlib.Path(outputs["Evaluator"]["evaluation"])
    of_test = json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"))["test"]
    graph = TransformGraph(pathlib.Path(outputs["Transform"]["transform_graph"]))
    examples = Examples(pathlib.Path(outputs["Transform"]["examples"]))
    train, test = (transformed.load_sequences(graph, examples, split) for split in ("train", "test"))
    queries = make_queries(test, next(iter(of_test.values()))["queries"])
    num_rows = transformed.load_catalogue(graph).num_rows
    als = _baselines.ImplicitALS().fit(train, num_rows)
    ranks = metrics.rank_in_parts(
        lambda part: als.scores(queries.histories[part]), queries.targets, queries.histories, num_rows
    )
    found = {}
    for method, row in (of_test | {"implicit ALS": metrics.summarize(ranks)}).items():
        print(f"{method:20} NDCG@10 {row['ndcg@10']:.4f}, Recall@100 {row['recall@100']:.4f}")
        found |= {f"{method}.{name}": row[name] for name in ("ndcg@10", "recall@100")}
    return found


def main() -> None:
    """Runs the sizes, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs="+", default=["1m"], choices=SIZES)
    parser.add_argument("--root", type=pathlib.Path, help="where data and models stay; removed without it")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments, _ = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as folder:
        for size in arguments.size:
            figures = measure(size, arguments.root or pathlib.Path(folder), arguments.settings)
            results.tell(f"scale.{size}", figures, keep=not arguments.settings)


if __name__ == "__main__":
    main()
