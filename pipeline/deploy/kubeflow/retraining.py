"""Retraining as a kfp pipeline, to be run by a schedule: one task, which calls `homefeed retrain`.

What a retraining must know (verdicts on spans, lineage, the models in service and what they start from) lies in the
root, a folder that all runs mount. So it is one task: split into a task a component, each run would have to bring all
of that through the platform's artifacts, and a second description of the loop would drift from ours. The task goes on
where one that died has stopped, and pushes nothing twice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.dag import Dag
from homefeed.pipeline.deploy.kubeflow.compile import Deployment, Signature, config_parameters, parameter_name
from homefeed.pipeline.deploy.kubeflow.containers import (
    COMMAND,
    LOCAL_COMMAND,
    PARAMETER_TYPES,
    PYTHON_TYPES,
    artifact_class,
    container,
    described,
    flags,
    report,
)
from homefeed.pipeline.deploy.kubeflow.tasks import Task, equip
from homefeed.pipeline.loop.options import Options
from homefeed.pipeline.loop.retrain import DECIDED

NAME = "retrain"  # Of the task, and of the command that it runs.
# A failure may be a gate that says no, which a second try would not change; a run that died is finished by the next.
DEFAULTS: dict[str, Any] = {"cpu": "8", "memory": "32G", "retries": 0, "cache": False}
_TYPES = {type_: PARAMETER_TYPES[name] for name, type_ in PYTHON_TYPES.items()}


def compile_retraining(
    dag: Dag,
    configs: Mapping[str, Any],
    options: Options,
    root: str,
    deployment: Deployment,
    data: str = "",
    local: bool = False,
) -> Any:
    """`homefeed retrain` as a kfp pipeline (a `GraphComponent`).

    Its parameters are the data folder, the root, the options that are set, and each field of the configuration that a
    retraining does not decide itself.

    Args:
        dag: the pipeline that is trained.
        configs: component name → Config, the defaults of the parameters.
        options: what is learnt from, and when.
        root: folder of runs, as the task sees it; it stays from run to run.
        deployment: image, name, and the resources of the task `retrain`.
        data: URI of the data folder, the default of `dataset`; empty: it must be given at each run.
        local: for `kfp.local`, as in `compile_pipeline`.
    """
    from kfp import dsl

    settings = {
        parameter_name(node.name, field.name): f"{node.name}.{field.name}"
        for node in dag.nodes
        for field in dataclasses.fields(node.component.config)
        if field.name not in DECIDED.get(node.name, ())
    }
    known = config_parameters(dag, configs)
    given = {name: known[name] for name in settings} | {"root": (str, root)} | _of_options(options)
    parameters = {"dataset": (str, data or inspect.Parameter.empty)} | given

    def pipeline(*values: Any) -> None:
        value = dict(zip(parameters, values, strict=True))
        with contextlib.ExitStack() as scopes:
            if not local:
                scopes.enter_context(dsl.ExitHandler(report(deployment.image)()))
            kind = artifact_class(DatasetDir)
            dataset = dsl.importer(artifact_uri=value.pop("dataset"), artifact_class=kind, reimport=True)
            component = _component(deployment.image, given, settings, options, local)
            task = component(dataset=dataset.output, **value)
            equip(task, "Retraining", deployment.tasks[NAME], local)

    signature = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=type_, default=default)
        for name, (type_, default) in parameters.items()
    ]
    pipeline.__signature__ = Signature(signature)  # type: ignore[attr-defined]
    title = "Judges new spans, trains on the good ones, and pushes what is no worse than the models in service."
    return dsl.pipeline(name=deployment.name, description=title)(pipeline)


def load_task(settings: tuple[str, ...] = ()) -> dict[str, Task]:
    """The resources of the one task, from `retrain.field=value` each.

    Raises:
        ConfigError: every mistake in the settings, at once.
    """
    from homefeed.pipeline.config import load_fields

    return load_fields({NAME: Task}, None, settings, {NAME: DEFAULTS})


def _of_options(options: Options) -> dict[str, tuple[type[Any], Any]]:
    """Parameter → type and default of the options that have a value; the others are not on the command line."""
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    return {name: (type(value), value) for name, value in given.items() if _has_value(value)}


def _has_value(value: Any) -> bool:
    """Switches are on the command line or not: they are compiled in."""
    return value is not None and value != "" and not isinstance(value, bool)


def _component(
    image: str,
    parameters: Mapping[str, tuple[type[Any], Any]],
    settings: Mapping[str, str],
    options: Options,
    local: bool,
) -> Any:
    from kfp.dsl import container_component_class, structures

    switches = [field.name for field in dataclasses.fields(options) if getattr(options, field.name) is True]
    arguments = [
        "--data={{$.inputs.artifacts['dataset'].path}}",
        *(f"{_flag(name)}={_placeholder(name)}" for name in parameters if name not in settings),
        *map(_flag, switches),
        *flags("set", {setting: _placeholder(name) for name, setting in settings.items()}),
    ]
    spec = structures.ComponentSpec(
        name=NAME,
        description="Retraining: the pipeline again, on the spans that passed the gate.",
        inputs={
            "dataset": structures.InputSpec(**described(DatasetDir)),
            **{n: structures.InputSpec(type=_TYPES[type_]) for n, (type_, _) in parameters.items()},
        },
        implementation=container(image, [*(LOCAL_COMMAND if local else COMMAND), NAME], arguments),
    )
    return container_component_class.ContainerComponent(spec, compile_retraining)


def _placeholder(name: str) -> str:
    return f"{{{{$.inputs.parameters['{name}']}}}}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
