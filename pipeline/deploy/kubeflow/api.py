"""Kubeflow Pipelines: the request that runs a compiled package, once or by a schedule, and how it is sent."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Mapping
from typing import Any

from homefeed.pipeline.deploy.errors import DeployError


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Where the Kubeflow Pipelines API is, and how we are let in."""

    host: str = ""  # Such as https://kubeflow.example.com/pipeline; empty: kubectl's current context.
    namespace: str = "kubeflow"
    token: str = ""  # A bearer token; empty: none, or what kubectl's context has.


def run_request(
    package: Mapping[str, Any],
    name: str,
    parameters: Mapping[str, Any],
    pipeline_root: str = "",
    service_account: str = "",
    experiment_id: str = "",
    cron: str = "",
) -> Any:
    """A `V2beta1Run`, or with `cron` a `V2beta1RecurringRun`, of kfp_server_api.

    Args:
        package: the compiled package.
        name: the run's.
        parameters: parameter → value; the others keep the package's defaults.
        pipeline_root: where artifacts lie; empty: where the cluster keeps them.
        service_account: Kubernetes service account of the pods; empty: the cluster's choice.
        experiment_id: the run's experiment; empty: the cluster's default one.
        cron: Kubeflow's six fields, seconds first; empty: once, now.
    """
    import kfp_server_api as api

    config = api.V2beta1RuntimeConfig(parameters=dict(parameters), pipeline_root=pipeline_root or None)
    common = {
        "display_name": name,
        "pipeline_spec": dict(package),
        "runtime_config": config,
        "service_account": service_account or None,
        "experiment_id": experiment_id or None,
    }
    if not cron:
        return api.V2beta1Run(**common)
    trigger = api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron=cron))
    # One at a time: two runs would push over each other. A missed one is not made up for.
    return api.V2beta1RecurringRun(
        **common, trigger=trigger, mode=api.RecurringRunMode.ENABLE, max_concurrency="1", no_catchup=True
    )


def as_json(request: Any) -> dict[str, Any]:
    """What a dry run shows: the path, and the body exactly as it is sent."""
    import kfp_server_api as api

    kind = type(request).__name__
    path = {"V2beta1Run": "/apis/v2beta1/runs", "V2beta1RecurringRun": "/apis/v2beta1/recurringruns"}[kind]
    return {"method": f"POST {path}", "message": kind, "request": api.ApiClient().sanitize_for_serialization(request)}


def send(request: Any, cluster: Cluster) -> str:
    """Sends the request and gives the id of the run or the schedule.

    Raises:
        DeployError: the API cannot be reached, or said no.
    """
    import kfp_server_api as api
    import urllib3.exceptions
    from kubernetes.config import ConfigException

    place = cluster.host or "the cluster of kubectl's current context"
    try:
        client = _client(cluster)
        # kfp's own methods take a package's path and make the body themselves; ours is the one that was shown.
        if isinstance(request, api.V2beta1Run):
            return str(client._run_api.run_service_create_run(body=request).run_id)
        return str(
            client._recurring_run_api.recurring_run_service_create_recurring_run(body=request).recurring_run_id
        )
    except api.ApiException as error:
        raise DeployError(
            f"{place} answered {error.status}: {_reason(error)}{_hint(error.status, cluster)}"
        ) from error
    except ConfigException as error:
        raise DeployError(f"no Kubeflow host: give --host, or a kubectl context ({error})") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise DeployError(f"{place} cannot be reached: {error}") from error


def _client(cluster: Cluster) -> Any:
    import kfp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # That it wants Kubeflow 2, which everybody has.
        return kfp.Client(
            host=cluster.host or None, namespace=cluster.namespace, existing_token=cluster.token or None
        )


def _reason(error: Any) -> str:
    try:
        said = json.loads(error.body)
        return str(said.get("message") or said.get("error") or error.reason)
    except (TypeError, ValueError, AttributeError):
        return str(error.reason)


def _hint(status: int, cluster: Cluster) -> str:
    hints = {
        401: ". Give a bearer token with --token-file",
        403: f". The token's account needs the role kubeflow-edit in namespace {cluster.namespace}",
        404: ". Is --host the address of the Kubeflow Pipelines API?",
    }
    return hints.get(status, "")
