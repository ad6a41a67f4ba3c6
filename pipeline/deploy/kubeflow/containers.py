"""Components as kfp sees them: containers that call our one entry point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from homefeed.components.artifacts.types import Artifact, DatasetDir, Examples, Gate, Model, PretrainedBert
from homefeed.components.contract import Component
from homefeed.pipeline.dag import Channel, Node
from homefeed.pipeline.runner.entry_point import config_types

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


PYTHON_TYPES: dict[str, type] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
}


def as_container(node: Node, image: str, local: bool) -> Any:
    """The component as kfp sees it: a container that calls our one entry point."""
    from kfp.dsl import container_component_class, structures

    component, config = node.component, config_types(node.component)
    gates = [] if local else gate_names(component)
    given = {name: s.type if isinstance(s, Channel) else type(s) for name, s in node.inputs.items()}
    module = component.module.__name__.removeprefix("homefeed.components.")
    command = [*(LOCAL_COMMAND if local else COMMAND), "component", module]
    spec = structures.ComponentSpec(
        name=component.name,
        description=(component.module.__doc__ or "").strip().partition("\n")[0],
        inputs={
            **{name: structures.InputSpec(**described(type_)) for name, type_ in given.items()},
            **{name: structures.InputSpec(type=PARAMETER_TYPES[type_]) for name, type_ in config.items()},
        },
        outputs={
            **{name: structures.OutputSpec(**described(type_)) for name, type_ in component.output_types.items()},
            **{verdict_name(gate): structures.OutputSpec(type="String") for gate in gates},
        },
        implementation=container(image, command, _arguments(given, component.output_types, config, gates, local)),
    )
    return container_component_class.ContainerComponent(spec, component.run)


def _arguments(
    inputs: Iterable[str], outputs: Iterable[str], config: Iterable[str], gates: Iterable[str], local: bool
) -> list[str]:
    """The command line of `homefeed component NAME`, in kfp's placeholders."""
    return [
        *flags("input", {name: f"{{{{$.inputs.artifacts['{name}'].path}}}}" for name in inputs}),
        *flags("output", {name: f"{{{{$.outputs.artifacts['{name}'].path}}}}" for name in outputs}),
        *flags("config", {name: f"{{{{$.inputs.parameters['{name}']}}}}" for name in config}),
        *flags("verdict", {g: f"{{{{$.outputs.parameters['{verdict_name(g)}'].output_file}}}}" for g in gates}),
        "--overwrite",  # What a failed attempt left behind.
        # A real launcher finds the outputs by itself; kfp.local believes in nothing but this file.
        *(["--executor-output", "{{$.outputs.output_file}}"] if local else []),
    ]


def report(image: str) -> Any:
    """The exit handler: one line of JSON on how the run ended, whatever happened."""
    from kfp.dsl import container_component_class, structures

    status = structures.InputSpec(type="PipelineTaskFinalStatus", optional=True)
    arguments = ["--status", "{{$.inputs.parameters['status']}}"]
    implementation = container(image, [*COMMAND, "deploy", "report"], arguments)
    spec = structures.ComponentSpec(name="report", inputs={"status": status}, implementation=implementation)
    return container_component_class.ContainerComponent(spec, report)


def container(image: str, command: list[str], arguments: list[str]) -> Any:
    """What a component of kfp runs."""
    from kfp.dsl import structures

    spec = structures.ContainerSpecImplementation(image=image, command=command, args=arguments)
    return structures.Implementation(container=spec)


def flags(flag: str, values: Mapping[str, str]) -> list[str]:
    """`--flag name=value` for each."""
    return [part for name, value in values.items() for part in (f"--{flag}", f"{name}={value}")]


def gate_names(component: Component) -> list[str]:
    """The names of the outputs that are gates."""
    return [name for name, type_ in component.output_types.items() if issubclass(type_, Gate)]


def verdict_name(gate: str) -> str:
    """The output parameter with a gate's verdict."""
    return f"{gate}_verdict"


def described(type_: type[Artifact]) -> dict[str, str]:
    """Type and description of an input or output that is an artifact."""
    documentation = (type_.__doc__ or "").strip().partition("\n")[0]
    system_type = artifact_class(type_)
    return {
        "type": f"{system_type.schema_title}@{system_type.schema_version}",
        "description": f"{type_.__name__}: {documentation}",
    }


def artifact_class(type_: type[Artifact]) -> type[dsl.Artifact]:
    """The system's type that stands for one of ours."""
    from kfp import dsl

    nearest = next(SYSTEM_TYPES[base] for base in type_.__mro__ if base in SYSTEM_TYPES)
    found: type[dsl.Artifact] = getattr(dsl, nearest)
    return found
