"""Runs a pipeline in this process: in order, cached, resumable, nothing half-written ever visible."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import hashlib
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from homefeed.components.artifacts.types import Artifact, Gate, GateClosed
from homefeed.pipeline.config import ConfigError
from homefeed.pipeline.dag import Channel, Dag, Node
from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.metadata import MetadataStore, Run
from homefeed.pipeline.runner.root import RunRoot
from homefeed.pipeline.runner.usage import Meter, give_memory_back
from homefeed.schemas.words import near


@dataclasses.dataclass(frozen=True)
class Step:
    """What happened to one component of a run, and what that took (see Usage); `outputs`: name → folder."""

    component: str
    cached: bool
    seconds: float
    summary: str
    outputs: Mapping[str, pathlib.Path] = dataclasses.field(default_factory=dict)  # By name.
    cpu_seconds: float = 0.0
    peak_mebibytes: float = 0.0


Observer = Callable[[str], contextlib.AbstractContextManager[Callable[[Step], None]]]
"""Called with a component's place and title (`8/13 Evaluator`) as it begins; the context gives what to call when it
has finished."""


@dataclasses.dataclass(frozen=True)
class _Produced:
    artifact: Artifact
    digest: str


def run_pipeline(
    dag: Dag,
    configs: Mapping[str, Any],
    root: pathlib.Path,
    *,
    name: str,
    observer: Observer,
    until: str | None = None,
    metadata: str | None = None,
) -> list[Step]:
    """Runs the components in order, each only if nothing recorded answers for it.

    A component writes into a staging folder, which is renamed when it has finished and then recorded: what
    is recorded is whole, and what is not recorded is made again.

    Args:
        dag: the pipeline.
        configs: component name → Config.
        root: folder of the artifacts and, by default, of the metadata; made if missing.
        name: the pipeline's name in the metadata.
        observer: shown each component as it begins and ends.
        until: name of the last component to run.
        metadata: where ML Metadata lies (see MetadataStore); default: SQLite in the root.

    Raises:
        GateClosed: a component's verdict stopped the run; its artifact is kept and named in the metadata.
        RunError: another run is using the root, or this process would only help another one.
        ConfigError: there is no component `until`.
    """
    nodes = _up_to(dag, until)
    _require_alone(nodes, configs)
    place = RunRoot(root)
    root.mkdir(parents=True, exist_ok=True)
    with locked(place.lock, f"another run is using {root}; wait for it, or choose another --root"):
        store = MetadataStore(place, metadata)
        shutil.rmtree(place.staging, ignore_errors=True)
        produced: dict[tuple[str, str], _Produced] = {}
        steps = []
        for number, node in enumerate(nodes, start=1):
            with observer(f"{number}/{len(nodes)} {node.component.title}") as finished:
                step, outputs = _run_node(node, configs[node.name], produced, store, place, name)
                produced |= {(node.name, output): value for output, value in outputs.items()}
                finished(step)
            steps.append(step)
            _stop_at_closed_gates(node, outputs)
    return steps


def _require_alone(nodes: list[Node], configs: Mapping[str, Any]) -> None:
    """Asks before anything is run: what helps another process writes nothing that a later component could read."""
    for node in nodes:
        if node.component.is_helper(configs[node.name]):
            raise RunError(
                f"{node.component.title} would help another process here: run it as `homefeed component {node.name}`"
            )


def _up_to(dag: Dag, until: str | None) -> list[Node]:
    names = dag.names()
    if until is None:
        return dag.nodes
    wanted = until if until in names else next((n.name for n in dag.nodes if n.component.title == until), None)
    if wanted is None:
        raise ConfigError(f"--until: there is no component {until!r}{near(until, names)}")
    return dag.nodes[: names.index(wanted) + 1]


def _run_node(
    node: Node,
    config: Any,
    produced: Mapping[tuple[str, str], _Produced],
    store: MetadataStore,
    root: RunRoot,
    pipeline: str,
) -> tuple[Step, dict[str, _Produced]]:
    sources = node.inputs | node.component.config_inputs(config)
    inputs = {name: _resolve(source, produced) for name, source in sources.items()}
    settings = root.portable(dataclasses.asdict(config))
    key = _cache_key(node, settings, inputs)
    cached = _from_cache(node, key, store)
    if cached is not None:
        return Step(node.component.title, True, 0.0, "", _paths(cached)), cached
    meter = Meter()
    summary, outputs = _execute(node, config, inputs, root, key)
    usage = meter.read()
    give_memory_back()
    took = usage.cpu_seconds, usage.peak_mebibytes
    step = Step(node.component.title, False, usage.seconds, summary, _paths(outputs), *took)
    properties = {
        "code_version": node.component.code_version,
        "config": json.dumps(settings, sort_keys=True),
        "seconds": f"{step.seconds:.1f}",
        "cpu_seconds": f"{step.cpu_seconds:.1f}",
        "peak_mebibytes": f"{step.peak_mebibytes:.0f}",
        "summary": summary.replace(f"{root.path}/", ""),
        "finished_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    store.record(Run(step.component, key, properties), pipeline, _pairs(inputs), _pairs(outputs))
    return step, outputs


def _resolve(source: Channel | Artifact, produced: Mapping[tuple[str, str], _Produced]) -> _Produced:
    if isinstance(source, Channel):
        return produced[source.node, source.output]
    return _Produced(source, source.digest())


def _paths(values: Mapping[str, _Produced]) -> dict[str, pathlib.Path]:
    return {name: value.artifact.path for name, value in values.items()}


def _pairs(values: Mapping[str, _Produced]) -> dict[str, tuple[Artifact, str]]:
    return {name: (value.artifact, value.digest) for name, value in values.items()}


def _cache_key(node: Node, settings: Mapping[str, Any], inputs: Mapping[str, _Produced]) -> str:
    parts = {
        "component": node.name,
        "code": node.component.code_version,
        "config": settings,
        "inputs": {name: value.digest for name, value in inputs.items()},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _from_cache(node: Node, key: str, store: MetadataStore) -> dict[str, _Produced] | None:
    records = store.find(node.component.title, key)
    types = node.component.output_types
    if records is None or records.keys() != types.keys():
        return None
    outputs = {name: _Produced(types[name](record.path), record.digest) for name, record in records.items()}
    return outputs if all(value.artifact.is_intact() for value in outputs.values()) else None


def _execute(
    node: Node, config: Any, inputs: Mapping[str, _Produced], root: RunRoot, key: str
) -> tuple[str, dict[str, _Produced]]:
    component = node.component
    staging, final = (folder / component.title / key for folder in (root.staging, root.artifacts))
    staging.mkdir(parents=True)
    types = component.output_types
    outputs = component.outputs(**{name: type_(staging / name) for name, type_ in types.items()})
    arguments = component.inputs(**{name: inputs[name].artifact for name in node.inputs})
    summary = component.run(arguments, outputs, config)
    missing = [name for name in types if not (staging / name).is_dir()]
    if missing:
        raise RunError(f"{component.title} finished without writing its outputs {missing}")
    _publish(staging, final)
    artifacts = {name: type_(final / name) for name, type_ in types.items()}
    return summary, {name: _Produced(artifact, artifact.digest()) for name, artifact in artifacts.items()}


def _publish(staging: pathlib.Path, final: pathlib.Path) -> None:
    """Makes the finished folder visible at once; an unrecorded leftover of a crash gives way."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        final.rename(staging.with_suffix(".old"))
    staging.rename(final)
    shutil.rmtree(staging.with_suffix(".old"), ignore_errors=True)


def _stop_at_closed_gates(node: Node, outputs: Mapping[str, _Produced]) -> None:
    for value in outputs.values():
        if isinstance(value.artifact, Gate) and (reasons := value.artifact.reasons()):
            raise GateClosed(node.component.title, reasons)


@contextlib.contextmanager
def locked(path: pathlib.Path, refusal: str) -> Iterator[None]:
    """Holds a lock file; the lock goes with the process, however it ends.

    Raises:
        RunError: somebody else holds it; with the words of `refusal`.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(refusal) from error
        yield
