"""Compiles a Dag to a Kubeflow Pipelines v2 package, which Vertex AI runs too.

Nothing is described twice. Inputs and Outputs become artifacts of the system's types, Config becomes parameters of
the pipeline, `component__field`, whose defaults are the configured values; the container calls `homefeed component
NAME`. What follows a gate in the Dag lies inside a condition on the gate's verdict.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import pathlib
from collections.abc import Mapping
from typing import Any

from homefeed.components.artifacts.types import Artifact
from homefeed.pipeline.dag import Channel, Dag
from homefeed.pipeline.deploy.errors import DeployUsageError
from homefeed.pipeline.deploy.kubeflow.containers import (
    PYTHON_TYPES,
    artifact_class,
    as_container,
    gate_names,
    report,
    verdict_name,
)
from homefeed.pipeline.deploy.kubeflow.tasks import Task, equip
from homefeed.pipeline.runner.entry_point import OPEN, config_types


@dataclasses.dataclass(frozen=True)
class Deployment:
    """Where a pipeline's components run."""

    tasks: Mapping[str, Task]  # Component name → what it may use.
    image: str  # Holds the command `homefeed`.
    name: str = "homefeed"  # The pipeline's.


def compile_pipeline(
    dag: Dag,
    configs: Mapping[str, Any],
    deployment: Deployment,
    sources: Mapping[str, str] | None = None,
    local: bool = False,
) -> Any:
    """The Dag as a kfp pipeline (a `GraphComponent`).

    Args:
        dag: the pipeline.
        configs: component name → Config, the defaults of the parameters.
        deployment: image, resources, retries, caching.
        sources: name of an input from outside → default of its URI; one without must be given at each run.
        local: for `kfp.local`: this interpreter for the image, and no conditions and no exit handler, which it does
            not know. A closed gate then fails its task, which stops the run as well.
    """
    from kfp import dsl

    parameters = {**_source_parameters(dag, sources or {}), **config_parameters(dag, configs)}

    def pipeline(*values: Any) -> None:
        given = dict(zip(parameters, values, strict=True))
        with contextlib.ExitStack() as scopes:
            if not local:
                scopes.enter_context(dsl.ExitHandler(report(deployment.image)()))
            _add_tasks(dag, given, deployment, local, scopes)

    signature = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=type_, default=default)
        for name, (type_, default) in parameters.items()
    ]
    # kfp reads the parameters from the signature. Required ones need not come first: nobody calls this in Python.
    pipeline.__signature__ = Signature(signature)  # type: ignore[attr-defined]
    title = f"{len(dag.nodes)} components: {', '.join(node.component.title for node in dag.nodes)}."
    return dsl.pipeline(name=deployment.name, description=title)(pipeline)


def write_package(pipeline: Any, path: pathlib.Path) -> None:
    """Writes the package that Kubeflow and Vertex AI take: YAML, equal for equal pipelines.

    Raises:
        DeployUsageError: the path is none of a YAML file.
    """
    from kfp import compiler

    if path.suffix not in (".yaml", ".yml"):
        raise DeployUsageError(f"the package should be a file such as homefeed.yaml, got {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(pipeline, str(path))


def run_here(pipeline: Any, root: pathlib.Path, arguments: Mapping[str, Any]) -> None:
    """Runs a pipeline that was compiled with `local=True`, each component in a process of its own.

    Args:
        pipeline: from `compile_pipeline`.
        root: gets `<pipeline>-<time>/<component>/<output>`.
        arguments: parameter → value.

    Raises:
        RuntimeError: a component failed or a gate said no; its output is on the terminal.
    """
    from kfp import local

    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(root.resolve()))
    pipeline(**arguments)


def parameter_name(component: str, field: str) -> str:
    """The pipeline's parameter for a Config field."""
    return f"{component}__{field}"


def source_names(dag: Dag) -> dict[str, Artifact]:
    """Inputs from outside: the pipeline's parameter → what it stands for.

    Raises:
        ValueError: two different ones go by the same name.
    """
    found: dict[str, Artifact] = {}
    for node in dag.nodes:
        for name, source in node.inputs.items():
            if isinstance(source, Artifact) and found.setdefault(name, source) != source:
                raise ValueError(f"input {name!r} from outside is both {found[name].path} and {source.path}")
    return found


class Signature(inspect.Signature):
    """A signature whose parameters stand in any order."""

    def __init__(self, parameters: list[inspect.Parameter]) -> None:
        super().__init__(parameters, __validate_parameters__=False)


def _source_parameters(dag: Dag, sources: Mapping[str, str]) -> dict[str, tuple[type[Any], Any]]:
    return {name: (str, sources.get(name, inspect.Parameter.empty)) for name in source_names(dag)}


def config_parameters(dag: Dag, configs: Mapping[str, Any]) -> dict[str, tuple[type[Any], Any]]:
    """The pipeline's parameter for each Config field → its type and default."""
    return {
        parameter_name(node.name, field): (PYTHON_TYPES[type_], plain(getattr(configs[node.name], field)))
        for node in dag.nodes
        for field, type_ in config_types(node.component).items()
    }


def plain(value: Any) -> Any:
    """A value of a Config as that of a parameter."""
    return list(value) if isinstance(value, tuple) else value


def _add_tasks(
    dag: Dag, given: Mapping[str, Any], deployment: Deployment, local: bool, scopes: contextlib.ExitStack
) -> None:
    from kfp import dsl

    imported = {
        name: dsl.importer(artifact_uri=given[name], artifact_class=artifact_class(type(source)), reimport=True)
        for name, source in source_names(dag).items()
    }
    tasks: dict[str, Any] = {}
    for node in dag.nodes:
        sources = {
            name: tasks[source.node].outputs[source.output] if isinstance(source, Channel) else imported[name].output
            for name, source in node.inputs.items()
        }
        values = {field: given[parameter_name(node.name, field)] for field in config_types(node.component)}
        tasks[node.name] = task = as_container(node, deployment.image, local)(**sources, **values)
        equip(task, node.component.title, deployment.tasks[node.name], local)
        for gate in [] if local else gate_names(node.component):
            is_open = task.outputs[verdict_name(gate)] == OPEN
            scopes.enter_context(dsl.If(is_open, name=f"{node.name}-{gate}-open"))
