"""What each component may use where it runs."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from typing import Annotated, Any

from homefeed.components.artifacts.types import ModelRun, PushedModel
from homefeed.components.contract import Component
from homefeed.pipeline.config import load_fields
from homefeed.pipeline.dag import Dag
from homefeed.schemas.settings import Count, CountOrNone, Form

Cores = Annotated[str, Form("cores such as 4 or 500m", re.compile(r"\d+(\.\d+)?m?").fullmatch)]
Bytes = Annotated[str, Form("bytes such as 16G or 512Mi", re.compile(r"\d+(\.\d+)?([KMGTPE]i?)?").fullmatch)]
BACKOFF = "60s"  # Before the first retry; doubled each time.


@dataclasses.dataclass(frozen=True)
class Task:
    """What one component may use where it runs."""

    cpu: Cores = "4"  # Asked for and not exceeded; 500m is half of one.
    memory: Bytes = "16G"  # The same.
    accelerator: str = ""  # NVIDIA_L4 on Vertex AI, nvidia.com/gpu on Kubernetes; empty: none.
    accelerators: Count = 1  # How many, if there is one.
    retries: CountOrNone = 2  # After a failure; a closed gate is none.
    cache: bool = True  # Whether an earlier run's outputs will do.


def load_tasks(dag: Dag, file: pathlib.Path | None = None, settings: tuple[str, ...] = ()) -> dict[str, Task]:
    """Component name → its Task, from what it makes, then a YAML file, then `component.field=value` each.

    Raises:
        ConfigError: every mistake in the file and the settings, at once.
    """
    defaults = {node.name: _task_defaults(node.component) for node in dag.nodes}
    return load_fields({node.name: Task for node in dag.nodes}, file, settings, defaults)


def _task_defaults(component: Component) -> dict[str, Any]:
    """Training wants more than the rest; a push is an act, and an act is not answered from a cache."""
    made = set(component.output_types.values())
    trains = {"cpu": "8", "memory": "32G"} if ModelRun in made else {}
    return trains | ({"cache": False} if PushedModel in made else {})


def equip(task: Any, title: str, wanted: Task, local: bool) -> None:
    """Gives a task of kfp what it may use; `local`: only what `kfp.local` knows."""
    task.set_display_name(title).set_caching_options(wanted.cache)
    if local:
        return
    task.set_cpu_request(wanted.cpu).set_cpu_limit(wanted.cpu)
    task.set_memory_request(wanted.memory).set_memory_limit(wanted.memory)
    if wanted.retries:
        task.set_retry(wanted.retries, backoff_duration=BACKOFF)
    if wanted.accelerator:
        task.set_accelerator_type(wanted.accelerator).set_accelerator_limit(wanted.accelerators)
