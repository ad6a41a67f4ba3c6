"""What each component costs as a process of its own, as in containers, beside the same run in one process.

    python -m benchmarks.component_chain [--data FOLDER]

The whole pipeline runs once in one process, then each component by `homefeed component` on what it had read there.
CPU seconds are of the processes, imports and start included.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import resource
import tempfile
from collections.abc import Mapping
from typing import Any

import yaml

from benchmarks import results
from benchmarks._program import homefeed
from homefeed.components.artifacts.types import Artifact, DatasetDir
from homefeed.pipeline.dag import Node
from homefeed.pipeline.recommender import recommender

QUICK = pathlib.Path(__file__).parents[1] / "docs" / "quick.yaml"


def measure(data: pathlib.Path, folder: pathlib.Path) -> dict[str, float]:
    """CPU seconds of the run, of each component by itself, and of all of these."""
    before = _children()
    run = homefeed("run", "--data", str(data), "--root", str(folder / "root"), "--config", str(QUICK), "--json")
    found = {"one_process": _children() - before}
    nodes = recommender(DatasetDir(data)).nodes
    made = {node.name: step["outputs"] for node, step in zip(nodes, json.loads(run), strict=True)}
    for node in nodes:
        before = _children()
        homefeed("component", node.name, *_places(node, made, folder / "alone"))
        found[node.name] = _children() - before
        print(f"{node.component.title:20}{found[node.name]:8.1f} CPU s", flush=True)
    found["chain"] = sum(found[node.name] for node in nodes)
    return found | {"beyond_one_process": found["chain"] - found["one_process"]}


def _places(node: Node, made: Mapping[str, Mapping[str, Any]], out: pathlib.Path) -> list[str]:
    settings = yaml.safe_load(QUICK.read_text(encoding="utf-8")).get(node.name, {})
    sources = node.inputs | node.component.config_inputs(node.component.config(**settings))
    inputs = {
        name: source.path if isinstance(source, Artifact) else made[source.node][source.output]
        for name, source in sources.items()
    }
    outputs = {name: out / node.name / name for name in node.component.output_types}
    words = [f"--input={name}={path}" for name, path in inputs.items()]
    words += [f"--output={name}={path}" for name, path in outputs.items()]
    return words + [f"--config={field}={json.dumps(value)}" for field, value in settings.items()]


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, help="by default a small store")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as temporary:
        folder = pathlib.Path(temporary)
        data = asked.data or folder / "data"
        if not asked.data:
            homefeed("data", "sample", "--out", str(data), "--users", "300", "--items", "200", "--events", "4000")
        results.tell("component_chain", measure(data, folder), keep=True)


if __name__ == "__main__":
    main()
