"""What an artifact was made from."""

from __future__ import annotations

import json
from typing import Any

from pipeline.local_runner import RunError
from pipeline.metadata import MetadataStore, Record


def trace(metadata: str, type_name: str) -> dict[str, Any]:
    """The newest artifact of a type as a nested dict: its own facts, and `made_by` with `inputs` of that form.

    Raises:
        RunError: nothing of that type was ever made.
    """
    store = MetadataStore(metadata)
    artifact = store.latest(type_name)
    if artifact is None:
        raise RunError(f"no artifact of type {type_name!r} has been made; `PushedModel` and `Model` are two")
    return _trace(store, artifact)


def _trace(store: MetadataStore, artifact: Record) -> dict[str, Any]:
    found = {"type": artifact.type, "path": str(artifact.path), "digest": artifact.digest}
    producer = store.producer(artifact)
    if producer is None:
        return found
    run, inputs = producer
    return found | {
        "made_by": {
            "component": run.component,
            "summary": run.properties["summary"],
            "finished_at": run.properties["finished_at"],
            "code_version": run.properties["code_version"],
            "config": json.loads(run.properties["config"]),
            "inputs": {name: _trace(store, source) for name, source in inputs.items()},
        }
    }
