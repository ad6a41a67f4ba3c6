"""The requests to Vertex AI that run the pipeline and serve its models.

Every name in a request is chosen here and none by the service, so that a dry run shows exactly what would be sent.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from homefeed.pipeline.deploy.errors import DeployUsageError
from homefeed.serving.process import SERVER_ENVIRONMENT, THREADS

REST_PORT, GRPC_PORT = 8501, 8500  # TensorFlow Serving's own.


@dataclasses.dataclass(frozen=True)
class Place:
    """Where requests go, and what they all carry."""

    project: str
    region: str
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    service_account: str = ""  # Whom the work runs as; empty: the project's default.
    network: str = ""  # projects/NUMBER/global/networks/NAME to be peered with; empty: none.
    api_endpoint: str = ""  # Another host than the region's; credentials are never sent to an http:// one.

    def __post_init__(self) -> None:
        for name, hint in (("project", "my-project"), ("region", "europe-west4")):
            if not getattr(self, name):
                raise DeployUsageError(
                    f"no {name}: give --{name}, such as {hint}, or set GOOGLE_CLOUD_{name.upper()}"
                )
        if self.network and not re.fullmatch(r"projects/[^/]+/global/networks/[^/]+", self.network):
            raise DeployUsageError(f"--network {self.network!r} should read projects/NUMBER/global/networks/NAME")
        for key, value in self.labels.items():
            if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) or not re.fullmatch(r"[a-z0-9_-]{0,63}", value):
                raise DeployUsageError(
                    f"--label {key}={value}: labels are lower-case letters, digits, _ and -, at most 63 of them"
                )

    @property
    def parent(self) -> str:
        """The resource that everything else lies below."""
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def host(self) -> str:
        """Where requests are sent."""
        return self.api_endpoint or f"{self.region}-aiplatform.googleapis.com"


@dataclasses.dataclass(frozen=True)
class Call:
    """One request: `method` of `service` (both as in google.cloud.aiplatform_v1) with a request message."""

    service: str
    method: str
    request: Any

    def as_json(self, place: Place) -> dict[str, Any]:
        """What a dry run shows."""
        request = type(self.request).to_json(
            self.request, including_default_value_fields=False, use_integers_for_enums=False
        )
        return {
            "host": place.host,
            "service": self.service,
            "method": self.method,
            "message": type(self.request).__name__,
            "request": json.loads(request),
        }


@dataclasses.dataclass(frozen=True)
class Serving:
    """How a pushed model is served."""

    image: str  # Holds tensorflow_model_server as its entry point; in Artifact Registry, as Vertex AI wants it.
    machine_type: str = "n1-standard-4"
    min_replicas: int = 1
    max_replicas: int = 3
    accelerator: str = ""  # NVIDIA_TESLA_T4 and the like; empty: none.
    accelerators: int = 1


def run_calls(
    place: Place, package: Mapping[str, Any], bucket: str, parameters: Mapping[str, Any], job_id: str, cron: str = ""
) -> list[Call]:
    """The request that runs a compiled package once, or by a schedule.

    Args:
        place: where.
        package: the compiled package.
        bucket: `gs://…` folder that gets the artifacts.
        parameters: parameter → value; the others keep the package's defaults.
        job_id: the run's or the schedule's name: lower-case letters, digits and `-`.
        cron: when, such as `TZ=Europe/Berlin 0 3 * * *`; empty: once, now.

    Raises:
        DeployUsageError: bucket or name cannot be one.
    """
    from google.cloud import aiplatform_v1 as v1

    if not re.fullmatch(r"gs://[a-z0-9][a-z0-9._-]+(/.*)?", bucket):
        raise DeployUsageError(
            f"--bucket {bucket!r} should read gs://my-bucket/folder: runs keep their artifacts there"
        )
    if not re.fullmatch(r"[a-z][-a-z0-9]{0,127}", job_id):
        raise DeployUsageError(
            f"--job-id {job_id!r} may hold lower-case letters, digits and -, and starts with a letter"
        )
    runtime = v1.PipelineJob.RuntimeConfig(gcs_output_directory=bucket, parameter_values=dict(parameters))
    job = v1.PipelineJob(
        display_name=job_id,
        pipeline_spec=dict(package),
        runtime_config=runtime,
        labels=dict(place.labels),
        service_account=place.service_account,
        network=place.network,
    )
    if not cron:
        once = v1.CreatePipelineJobRequest(parent=place.parent, pipeline_job=job, pipeline_job_id=job_id)
        return [Call("PipelineService", "create_pipeline_job", once)]
    each = v1.CreatePipelineJobRequest(parent=place.parent, pipeline_job=job)
    # One at a time: two runs would push over each other.
    schedule = v1.Schedule(
        display_name=job_id, cron=cron, max_concurrent_run_count=1, create_pipeline_job_request=each
    )
    request = v1.CreateScheduleRequest(parent=place.parent, schedule=schedule)
    return [Call("ScheduleService", "create_schedule", request)]


def model_calls(
    place: Place, serving: Serving, model: str, base_uri: str, version: int, previous: Mapping[int, int] | None = None
) -> list[Call]:
    """The requests that put a pushed model into service: upload, endpoint, deployment, in this order.

    Args:
        place: where.
        serving: on what.
        model: `retrieval` or `ranking`.
        base_uri: `gs://…/serving/<model>`, the folder of its versions.
        version: the version to serve.
        previous: version → percent of the traffic that stays with it; the rest goes to the new one. None: nothing
            is there yet, and model and endpoint are made.

    Raises:
        DeployUsageError: the location or the percents cannot be.
    """
    from google.cloud import aiplatform_v1 as v1

    if not base_uri.startswith("gs://"):
        raise DeployUsageError(
            f"--models {base_uri!r} should be a gs:// folder: Vertex AI reads models from a bucket"
        )
    name = f"homefeed-{model}"
    uploaded, endpoint = f"{place.parent}/models/{name}", f"{place.parent}/endpoints/{name}"
    described = _model(place, serving, model, base_uri, version)
    upload = v1.UploadModelRequest(parent=place.parent, model=described, service_account=place.service_account)
    if previous is None:
        upload.model_id = name
    else:
        upload.parent_model = uploaded
    kept = {str(number): percent for number, percent in (previous or {}).items()}
    # "0" stands for the model that the request deploys.
    traffic = check_traffic({"0": 100 - sum(kept.values()), **kept})
    deployed = _deployed(place, serving, name, version)
    deploy = v1.DeployModelRequest(endpoint=endpoint, deployed_model=deployed, traffic_split=traffic)
    made = v1.Endpoint(display_name=name, labels=dict(place.labels), network=place.network)
    create = v1.CreateEndpointRequest(parent=place.parent, endpoint=made, endpoint_id=name)
    return [
        Call("ModelService", "upload_model", upload),
        *([Call("EndpointService", "create_endpoint", create)] if previous is None else []),
        Call("EndpointService", "deploy_model", deploy),
    ]


def _model(place: Place, serving: Serving, model: str, base_uri: str, version: int) -> Any:
    """What is uploaded: where the SavedModels lie, and the server that reads them."""
    from google.cloud import aiplatform_v1 as v1

    container = v1.ModelContainerSpec(
        image_uri=serving.image,
        args=[
            f"--port={GRPC_PORT}",
            f"--rest_api_port={REST_PORT}",
            f"--model_name={model}",
            "--model_base_path=$(AIP_STORAGE_URI)",
            THREADS,
        ],
        env=[v1.EnvVar(name=name, value=value) for name, value in SERVER_ENVIRONMENT.items()],
        ports=[v1.Port(container_port=REST_PORT)],
        grpc_ports=[v1.Port(container_port=GRPC_PORT)],
        predict_route=f"/v1/models/{model}:predict",
        health_route=f"/v1/models/{model}",
    )
    return v1.Model(
        display_name=f"homefeed-{model}",
        artifact_uri=base_uri,
        container_spec=container,
        version_aliases=[f"v{version}"],
        labels=dict(place.labels),
    )


def _deployed(place: Place, serving: Serving, name: str, version: int) -> Any:
    """A version on its machines."""
    from google.cloud import aiplatform_v1 as v1

    machine: dict[str, Any] = {"machine_type": serving.machine_type}
    if serving.accelerator:
        if serving.accelerator not in v1.AcceleratorType.__members__:
            raise DeployUsageError(f"there is no accelerator {serving.accelerator!r}; NVIDIA_TESLA_T4 is one")
        machine |= {"accelerator_type": serving.accelerator, "accelerator_count": serving.accelerators}
    resources = v1.DedicatedResources(
        machine_spec=v1.MachineSpec(**machine),
        min_replica_count=serving.min_replicas,
        max_replica_count=serving.max_replicas,
    )
    return v1.DeployedModel(
        id=str(version),
        model=f"{place.parent}/models/{name}@v{version}",
        display_name=f"{name}-{version}",
        service_account=place.service_account,
        dedicated_resources=resources,
    )


def traffic_calls(place: Place, model: str, split: Mapping[int, int]) -> list[Call]:
    """The request that shares an endpoint's traffic out anew: version → percent, 100 in all."""
    from google.cloud import aiplatform_v1 as v1

    traffic = check_traffic({str(version): percent for version, percent in split.items()})
    endpoint = v1.Endpoint(name=f"{place.parent}/endpoints/homefeed-{model}", traffic_split=traffic)
    request = v1.UpdateEndpointRequest(endpoint=endpoint, update_mask={"paths": ["traffic_split"]})
    return [Call("EndpointService", "update_endpoint", request)]


def check_traffic(split: Mapping[str, int]) -> dict[str, int]:
    """Shares that can be: none below 0, 100 in all.

    Raises:
        DeployUsageError: they cannot.
    """
    if sum(split.values()) != 100 or min(split.values()) < 0:
        raise DeployUsageError(f"traffic must be shared out as percents that add up to 100, not {dict(split)}")
    return dict(split)
