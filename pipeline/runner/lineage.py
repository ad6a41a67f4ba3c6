"""Lineage: from which data, code, configuration and models an artifact was made."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

from homefeed.components.artifacts.types import ModelEvaluation, PushedModel
from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.metadata import MetadataStore, Record
from homefeed.pipeline.runner.root import RunRoot

TOOK = ("seconds", "cpu_seconds", "peak_mebibytes")
"""What an execution took, in its properties."""


def trace(root: RunRoot, type_name: str, metadata: str | None = None) -> dict[str, Any]:
    """The newest artifact of a type, or the pushed models of a version, as a nested dict: its own facts, and
    `made_by` with `inputs` of that form. Pushed models among the inputs are named and not followed.

    Args:
        root: of the runs.
        type_name: such as `PushedModel`; or a version: `3`, `ranking/3`, or the folder of a pushed model.
        metadata: where ML Metadata lies (see MetadataStore).

    Raises:
        RunError: nothing of that type, or no such version, was ever made.
    """
    store = MetadataStore(root, metadata)
    leaf = type_name.rstrip("/").rpartition("/")[2]
    if leaf.isdecimal():
        return _trace(store, _version(store, int(leaf)))
    artifact = store.latest(type_name)
    if artifact is None:
        raise RunError(f"no artifact of type {type_name!r} has been made; `PushedModel` and `Model` are two")
    return _trace(store, artifact)


def summarize(traced: dict[str, Any]) -> dict[str, Any]:
    """What a person asks first of pushed models: data, spans, quality, parents, code and configuration.

    Args:
        traced: of a PushedModel, from `trace`.

    Returns:
        `version`, `dataset`, `spans` (empty: all that there were), `metrics` (NDCG@10 on eval and test), `parents`
        (versions of the models in service when it was made), and by component `code_version` and `config`.
    """
    nodes = list(_walk(traced))
    made = {node["made_by"]["component"]: node["made_by"] for node in nodes if "made_by" in node}
    datasets = sorted({(node["path"], node["digest"]) for node in nodes if node["type"] == "DatasetDir"})
    evaluations = [node["path"] for node in nodes if node["type"] == "ModelEvaluation"]
    return {
        "version": traced.get("version"),
        "dataset": [{"path": path, "digest": digest} for path, digest in datasets],
        "spans": [s for s in made.get("ExampleGen", {}).get("config", {}).get("spans", "").split(",") if s],
        "metrics": _metrics(pathlib.Path(evaluations[0])) if evaluations else None,
        "parents": sorted({node["version"] for node in nodes[1:] if node["type"] == "PushedModel"}),
        "code_version": {name: run["code_version"] for name, run in sorted(made.items())},
        "config": {name: run["config"] for name, run in sorted(made.items())},
    }


def _walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for source in node.get("made_by", {}).get("inputs", {}).values():
        yield from _walk(source)


def _metrics(evaluation: pathlib.Path) -> dict[str, Any] | None:
    if not (evaluation / "metrics.json").is_file():
        return None
    report = ModelEvaluation(evaluation).read_json("metrics.json")
    return {split: {name: found["ndcg@10"] for name, found in methods.items()} for split, methods in report.items()}


def _version(store: MetadataStore, version: int) -> Record:
    pushed = {_number(record): record for record in store.all("PushedModel")}
    if version not in pushed:
        known = ", ".join(map(str, sorted(number for number in pushed if number))) or "none"
        raise RunError(f"version {version} was not pushed from here; there are {known}")
    return pushed[version]


def _number(record: Record) -> int | None:
    if not (record.path / PushedModel.FILE).is_file():
        return None
    number: int = PushedModel(record.path).read_json(PushedModel.FILE)["version"]
    return number


def _trace(store: MetadataStore, artifact: Record, is_parent: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"type": artifact.type, "path": str(artifact.path), "digest": artifact.digest}
    if artifact.type == "PushedModel":
        found["version"] = _number(artifact)
    producer = None if is_parent else store.producer(artifact)
    if producer is None:
        return found
    run, inputs = producer
    return found | {
        "made_by": {
            "component": run.component,
            "summary": run.properties["summary"],
            "finished_at": run.properties["finished_at"],
            **{name: float(run.properties[name]) for name in TOOK if name in run.properties},
            "code_version": run.properties["code_version"],
            "config": json.loads(run.properties["config"]),
            "inputs": {name: _trace(store, source, source.type == "PushedModel") for name, source in inputs.items()},
        }
    }
