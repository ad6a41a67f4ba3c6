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
from typing import TYPE_CHECKING, Any

from homefeed.components.artifacts.types import (
    Artifact,
    DatasetDir,
    Examples,
    Gate,
    Model,
    ModelRun,
    PretrainedBert,
    PushedModel,
)
from homefeed.components.contract import Component
from homefeed.pipeline.config import load_fields, merge
from homefeed.pipeline.dag import Channel, Dag, Node
from homefeed.pipeline.runner.entry_point import OPEN, config_types

if TYPE_CHECKING:
    from kfp import dsl

COMMAND = ("homefeed",)
# kfp.local's SubprocessRunner runs only commands that name kfp's own executor, which it takes as a sign that they
# need no image. Ours need none either: the comment says so in its words. It puts its own interpreter for `python3`.
LOCAL_COMMAND = (
    "python3",
    "-c",
    "from homefeed.pipeline.cli.main import main; main()  # Needs as little as kfp.dsl.executor_main.",
)
LOCAL_IMAGE = "python"
# kfp and Vertex AI admit no types but the system's; ours are named in the descriptions, and the Dag has checked them.
SYSTEM_TYPES = {
    Examples: "Dataset",
    DatasetDir: "Dataset",
    Model: "Model",
    PretrainedBert: "Model",
    Artifact: "Artifact",
}
PARAMETER_TYPES = {
    "string": "String",
    "integer": "Integer",
    "number": "Float",
    "boolean": "Boolean",
    "array": "List",
    "object": "Dict",
}
BACKOFF = "60s"  # Before the first retry; doubled each time.


@dataclasses.dataclass(frozen=True)
class Task:
    """What one component may use where it runs."""

    cpu: str = "4"  # Cores, asked for and not exceeded; "500m" is half of one.
    memory: str = "16G"  # The same, with one of K, M, G, T, Ki, Mi, Gi, Ti.
    accelerator: str = ""  # NVIDIA_L4 on Vertex AI, nvidia.com/gpu on Kubernetes; empty: none.
    accelerators: int = 1  # How many, if there is one.
    retries: int = 2  # After a failure; a closed gate is none.
    cache: bool = True  # Whether an earlier run's outputs will do.


@dataclasses.dataclass(frozen=True)
class Deployment:
    """Where a pipeline's components run."""

    tasks: Mapping[str, Task]  # Component name → what it may use.
    image: str  # Holds the command `homefeed`.
    name: str = "homefeed"  # The pipeline's.


def load_tasks(dag: Dag, file: pathlib.Path | None = None, settings: tuple[str, ...] = ()) -> dict[str, Task]:
    """Component name → its Task, from what it makes, then a YAML file, then `component.field=value` each.

    Raises:
        ConfigError: every mistake in the file and the settings, at once.
    """
    defaults = {node.name: _task_defaults(node.component) for node in dag.nodes}
    return load_fields({node.name: Task for node in dag.nodes}, merge(defaults, file, settings))


def _task_defaults(component: Component) -> dict[str, Any]:
    """Training wants more than the rest; a push is an act, and an act is not answered from a cache."""
    made = set(component.output_types.values())
    trains = {"cpu": "8", "memory": "32G"} if ModelRun in made else {}
    return trains | ({"cache": False} if PushedModel in made else {})


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

    parameters = {**_source_parameters(dag, sources or {}), **_config_parameters(dag, configs)}

    def pipeline(*values: Any) -> None:
        given = dict(zip(parameters, values, strict=True))
        with contextlib.ExitStack() as scopes:
            if not local:
                scopes.enter_context(dsl.ExitHandler(_report(deployment)()))
            _add_tasks(dag, given, deployment, local, scopes)

    signature = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=type_, default=default)
        for name, (type_, default) in parameters.items()
    ]
    # kfp reads the parameters from the signature. Required ones need not come first: nobody calls this in Python.
    pipeline.__signature__ = _Signature(signature)  # type: ignore[attr-defined]
    title = f"{len(dag.nodes)} components: {', '.join(node.component.title for node in dag.nodes)}."
    return dsl.pipeline(name=deployment.name, description=title)(pipeline)


def write_package(pipeline: Any, path: pathlib.Path) -> None:
    """Writes the package that Kubeflow and Vertex AI take: YAML, equal for equal pipelines."""
    from kfp import compiler

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


class _Signature(inspect.Signature):
    """A signature whose parameters stand in any order."""

    def __init__(self, parameters: list[inspect.Parameter]) -> None:
        super().__init__(parameters, __validate_parameters__=False)


def _source_parameters(dag: Dag, sources: Mapping[str, str]) -> dict[str, tuple[type[Any], Any]]:
    return {name: (str, sources.get(name, inspect.Parameter.empty)) for name in source_names(dag)}


def _config_parameters(dag: Dag, configs: Mapping[str, Any]) -> dict[str, tuple[type[Any], Any]]:
    python_types = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list, "object": dict}
    return {
        parameter_name(node.name, field): (python_types[type_], _plain(getattr(configs[node.name], field)))
        for node in dag.nodes
        for field, type_ in config_types(node.component).items()
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _add_tasks(
    dag: Dag, given: Mapping[str, Any], deployment: Deployment, local: bool, scopes: contextlib.ExitStack
) -> None:
    from kfp import dsl

    imported = {
        name: dsl.importer(artifact_uri=given[name], artifact_class=_artifact_class(type(source)), reimport=True)
        for name, source in source_names(dag).items()
    }
    tasks: dict[str, Any] = {}
    for node in dag.nodes:
        sources = {
            name: tasks[source.node].outputs[source.output] if isinstance(source, Channel) else imported[name].output
            for name, source in node.inputs.items()
        }
        values = {field: given[parameter_name(node.name, field)] for field in config_types(node.component)}
        tasks[node.name] = task = _component(node, deployment.image, local)(**sources, **values)
        _equip(task, node, deployment.tasks[node.name], local)
        for gate in [] if local else _gates(node.component):
            scopes.enter_context(dsl.If(task.outputs[_verdict(gate)] == OPEN, name=f"{node.name}-{gate}-open"))


def _component(node: Node, image: str, local: bool) -> Any:
    """The component as kfp sees it: a container that calls our one entry point."""
    from kfp.dsl import container_component_class, structures

    component, config = node.component, config_types(node.component)
    gates = [] if local else _gates(component)
    given = {name: s.type if isinstance(s, Channel) else type(s) for name, s in node.inputs.items()}
    module = component.module.__name__.removeprefix("homefeed.components.")
    arguments = [
        *_flags("input", {name: f"{{{{$.inputs.artifacts['{name}'].path}}}}" for name in given}),
        *_flags("output", {name: f"{{{{$.outputs.artifacts['{name}'].path}}}}" for name in component.output_types}),
        *_flags("config", {name: f"{{{{$.inputs.parameters['{name}']}}}}" for name in config}),
        *_flags("verdict", {g: f"{{{{$.outputs.parameters['{_verdict(g)}'].output_file}}}}" for g in gates}),
        "--overwrite",  # What a failed attempt left behind.
        # A real launcher finds the outputs by itself; kfp.local believes in nothing but this file.
        *(["--executor-output", "{{$.outputs.output_file}}"] if local else []),
    ]
    spec = structures.ComponentSpec(
        name=component.name,
        description=(component.module.__doc__ or "").strip().partition("\n")[0],
        inputs={
            **{name: structures.InputSpec(**_described(type_)) for name, type_ in given.items()},
            **{name: structures.InputSpec(type=PARAMETER_TYPES[type_]) for name, type_ in config.items()},
        },
        outputs={
            **{name: structures.OutputSpec(**_described(type_)) for name, type_ in component.output_types.items()},
            **{_verdict(gate): structures.OutputSpec(type="String") for gate in gates},
        },
        implementation=_container(image, [*(LOCAL_COMMAND if local else COMMAND), "component", module], arguments),
    )
    return container_component_class.ContainerComponent(spec, component.run)


def _report(deployment: Deployment) -> Any:
    """The exit handler: one line of JSON on how the run ended, whatever happened."""
    from kfp.dsl import container_component_class, structures

    status = structures.InputSpec(type="PipelineTaskFinalStatus", optional=True)
    arguments = ["--status", "{{$.inputs.parameters['status']}}"]
    implementation = _container(deployment.image, [*COMMAND, "deploy", "report"], arguments)
    spec = structures.ComponentSpec(name="report", inputs={"status": status}, implementation=implementation)
    return container_component_class.ContainerComponent(spec, _report)


def _container(image: str, command: list[str], arguments: list[str]) -> Any:
    from kfp.dsl import structures

    container = structures.ContainerSpecImplementation(image=image, command=command, args=arguments)
    return structures.Implementation(container=container)


def _flags(flag: str, values: Mapping[str, str]) -> list[str]:
    return [part for name, value in values.items() for part in (f"--{flag}", f"{name}={value}")]


def _equip(task: Any, node: Node, wanted: Task, local: bool) -> None:
    task.set_display_name(node.component.title).set_caching_options(wanted.cache)
    if local:
        return
    task.set_cpu_request(wanted.cpu).set_cpu_limit(wanted.cpu)
    task.set_memory_request(wanted.memory).set_memory_limit(wanted.memory)
    if wanted.retries:
        task.set_retry(wanted.retries, backoff_duration=BACKOFF)
    if wanted.accelerator:
        task.set_accelerator_type(wanted.accelerator).set_accelerator_limit(wanted.accelerators)


def _gates(component: Component) -> list[str]:
    return [name for name, type_ in component.output_types.items() if issubclass(type_, Gate)]


def _verdict(gate: str) -> str:
    return f"{gate}_verdict"


def _described(type_: type[Artifact]) -> dict[str, str]:
    documentation = (type_.__doc__ or "").strip().partition("\n")[0]
    system_type = _artifact_class(type_)
    return {
        "type": f"{system_type.schema_title}@{system_type.schema_version}",
        "description": f"{type_.__name__}: {documentation}",
    }


def _artifact_class(type_: type[Artifact]) -> type[dsl.Artifact]:
    from kfp import dsl

    nearest = next(SYSTEM_TYPES[base] for base in type_.__mro__ if base in SYSTEM_TYPES)
    found: type[dsl.Artifact] = getattr(dsl, nearest)
    return found
