"""A training on several machines, as Kubernetes and Vertex AI run it: every worker gets the same command."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from homefeed.pipeline.deploy.errors import DeployUsageError
from homefeed.pipeline.deploy.kubeflow.tasks import Task

PORT = 2222  # Where workers hear each other.
INDEX = "batch.kubernetes.io/job-completion-index"  # Kubernetes' annotation of a pod: which of the job's it is.
COMMAND = ("homefeed", "component", "retrieval_trainer")


@dataclasses.dataclass(frozen=True)
class Training:
    """What is run, by how many.

    Attributes:
        name: of the job.
        workers: processes, each on a machine of its own; the first is the chief.
        image: holds the command `homefeed`.
        arguments: of `homefeed component retrieval_trainer`.
        task: what each worker may use.
        namespace, claim, mount: on Kubernetes: where, and the volume that all workers see, and as which folder.
        machine: on Vertex AI: the machine of each worker.
    """

    name: str
    workers: int
    image: str
    arguments: Sequence[str]
    task: Task
    namespace: str = "homefeed"
    claim: str = "homefeed-runs"
    mount: str = "/mnt/homefeed"
    machine: str = "n1-standard-8"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]([-a-z0-9]{0,50}[a-z0-9])?", self.name):
            raise DeployUsageError(
                f"--name {self.name!r} is part of host names: lower-case letters, digits and -, at most 52 of them"
            )


def arguments(inputs: Mapping[str, Any], outputs: Mapping[str, Any], config: Sequence[str]) -> list[str]:
    """The command line after the component's name; a later attempt goes on from what an earlier one kept."""
    given = [("input", f"{name}={path}") for name, path in inputs.items()]
    given += [("output", f"{name}={path}") for name, path in outputs.items()]
    given += [("config", setting) for setting in (*config, "strategy=workers")]
    return [*(f"--{flag}={value}" for flag, value in given), "--overwrite"]


def check(config: Any, workers: int, task: Task) -> None:
    """Looks at what every worker would refuse when it has started.

    Raises:
        DeployUsageError: another strategy is asked for, or the devices cannot share a batch.
    """
    if config.strategy == "mirrored":
        raise DeployUsageError(
            "--config strategy=mirrored is for one machine; workers get strategy=workers: leave it out"
        )
    devices = workers * (task.accelerators if task.accelerator else 1)
    if config.batch_size % devices:
        raise DeployUsageError(
            f"--config batch_size={config.batch_size} is to be shared by {devices} devices: "
            f"give a multiple of {devices}"
        )


class _Plain(yaml.SafeDumper):
    """Writes what stands at two places twice, and no references."""

    def ignore_aliases(self, _: Any) -> bool:
        """Whether the value is written again."""
        return True


def write(training: Training, out: pathlib.Path) -> list[str]:
    """Writes `kubernetes.yaml` and `vertex.yaml`, and gives their names."""
    out.mkdir(parents=True, exist_ok=True)
    files = {"kubernetes.yaml": kubernetes(training), "vertex.yaml": [vertex(training)]}
    for name, documents in files.items():
        text = yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, width=1000)
        (out / name).write_text(text, encoding="utf-8")
    return list(files)


def kubernetes(training: Training) -> list[dict[str, Any]]:
    """A headless Service, by which workers find each other, a policy that lets nobody else in, and an Indexed Job.

    The job starts a lost worker again.
    """
    labels = {"app.kubernetes.io/name": training.name}
    metadata = {"name": training.name, "namespace": training.namespace, "labels": labels}
    ports = [{"name": "grpc", "port": PORT}]
    service = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": labels, "ports": ports}
    workers = {"podSelector": {"matchLabels": labels}}
    policy = {**workers, "policyTypes": ["Ingress"], "ingress": [{"from": [workers], "ports": [{"port": PORT}]}]}
    job = {
        "completionMode": "Indexed",
        "completions": training.workers,
        "parallelism": training.workers,
        # A worker that is lost ends all the others.
        "backoffLimit": training.workers * training.task.retries,
        "template": {"metadata": {"labels": labels}, "spec": _pod(training)},
    }
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": policy},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": job},
    ]


def _pod(training: Training) -> dict[str, Any]:
    volume = {"name": "runs", "persistentVolumeClaim": {"claimName": training.claim}}
    return {
        "restartPolicy": "Never",
        "subdomain": training.name,
        "automountServiceAccountToken": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(training)],
        "volumes": [volume],
    }


def _container(training: Training) -> dict[str, Any]:
    task = training.task
    amounts = {"cpu": task.cpu, "memory": task.memory}
    if task.accelerator:
        amounts[task.accelerator] = str(task.accelerators)
    index = {"name": "INDEX", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}}
    return {
        "name": "trainer",
        "image": training.image,
        "command": list(COMMAND),
        "args": list(training.arguments),
        "env": [index, {"name": "TF_CONFIG", "value": _tf_config(training)}],
        "ports": [{"containerPort": PORT}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": amounts, "limits": amounts},
        "volumeMounts": [{"name": "runs", "mountPath": training.mount}],
    }


def _tf_config(training: Training) -> str:
    """As `Cluster.of` reads it, once Kubernetes has put the pod's index in."""
    hosts = [f"{training.name}-{i}.{training.name}.{training.namespace}.svc:{PORT}" for i in range(training.workers)]
    text = json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": "INDEX"}})
    return text.replace('"INDEX"', "$(INDEX)")


def vertex(training: Training) -> dict[str, Any]:
    """The CustomJobSpec, for `gcloud ai custom-jobs create --config`; Vertex AI sets TF_CONFIG itself."""
    machine: dict[str, Any] = {"machineType": training.machine}
    if training.task.accelerator:
        machine |= {"acceleratorType": training.task.accelerator, "acceleratorCount": training.task.accelerators}
    container = {"imageUri": training.image, "command": list(COMMAND), "args": list(training.arguments)}
    counts = [count for count in (1, training.workers - 1) if count]  # The chief's pool comes first.
    pools = [{"machineSpec": machine, "replicaCount": count, "containerSpec": container} for count in counts]
    return {"workerPoolSpecs": pools}
