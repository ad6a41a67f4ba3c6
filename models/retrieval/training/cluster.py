"""The processes that train one model together, as `TF_CONFIG` names them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from typing import Any, Self

from homefeed.models.errors import ModelError

VARIABLE = "TF_CONFIG"
EXAMPLE = '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'
JOBS = ("chief", "worker")  # Whose tasks train. The chief is the only one of its job, or else the first worker.


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Who trains, and which of them this process is.

    Attributes:
        addresses: `host:port` of each, the chief's first.
        place: this process's among them; 0: it is the chief.
    """

    addresses: tuple[str, ...]
    place: int

    @property
    def is_chief(self) -> bool:
        """Whether this process evaluates, exports and writes."""
        return self.place == 0

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """As the environment says: TensorFlow's own format, which Kubeflow's TFJob and Vertex AI write.

        Raises:
            ModelError: it says nothing, or something else.
        """
        text = environment.get(VARIABLE, "")
        if not text:
            raise ModelError(
                f"`strategy: workers` needs {VARIABLE}, which is not set: give each process of `homefeed component "
                f"retrieval_trainer` its own, like {EXAMPLE}"
            )
        try:
            found = json.loads(text)
            jobs, task = found["cluster"], found["task"]
            tasks = [(job, index) for job in JOBS for index in range(len(jobs.get(job, ())))]
            addresses = tuple(str(jobs[job][index]) for job, index in tasks)
            _check(addresses, len(jobs.get("chief", ())))
            return cls(addresses, tasks.index((task["type"], int(task["index"]))))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(
                f"{VARIABLE} is {text!r}: expected {EXAMPLE}, with `task` one of `cluster`, every HOST:PORT "
                "once, and one `chief` at most"
            ) from error


def _check(addresses: tuple[str, ...], num_chiefs: int) -> None:
    """Refuses what TensorFlow would take for a cluster and wait for, for ever."""
    if num_chiefs > 1 or len(set(addresses)) < len(addresses):
        raise ValueError
    if not all(re.fullmatch(r"\S+:\d+", address) for address in addresses):
        raise ValueError


def is_helper(config: Any) -> bool:
    """Whether this process only takes part in a training whose chief, another process, writes everything.

    Raises:
        ModelError: as `Cluster.of`.
    """
    return config.strategy == "workers" and not Cluster.of().is_chief
