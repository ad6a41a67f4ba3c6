"""What Vertex AI is asked: against its public messages, and against a local stand-in that keeps the requests."""

import json
import pathlib
from typing import Any

import pytest
import yaml

from homefeed.pipeline.deploy.errors import DeployUsageError
from homefeed.pipeline.deploy.vertex.requests import Place, Serving, model_calls, traffic_calls
from tests.pipeline import command

GOLDEN = str(pathlib.Path(__file__).parents[1] / "golden" / "homefeed.yaml")
PARENT = "projects/shop/locations/europe-west4"
ACCOUNT = "runner@shop.iam.gserviceaccount.com"
NETWORK = "projects/123/global/networks/inner"
WHERE = ("--project", "shop", "--region", "europe-west4")
RUN = ("vertex", "--package", GOLDEN, "--bucket", "gs://shop/runs", "--data", "gs://shop/data", *WHERE)
RUN = (*RUN, "--job-id", "night-1", "--service-account", ACCOUNT, "--network", NETWORK, "--label", "team=feed")
RUN = (*RUN, "--serving-dir", "/gcs/shop/serving")
MODEL = (
    "vertex-model",
    "--models",
    "gs://shop/serving",
    "--image",
    "europe-docker.pkg.dev/shop/tf/serving:2.16",
    *WHERE,
)


def homefeed(*arguments: str) -> int:
    """The exit code of `homefeed deploy …`."""
    return command.homefeed("deploy", *arguments)


def dry_run(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert homefeed(*arguments, "--dry-run") == 0
    calls: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return calls


def in_schema(call: dict[str, Any]) -> Any:
    """The request as the public message; a field that it does not have is an error."""
    from google.cloud import aiplatform_v1
    from google.protobuf import json_format

    kind = getattr(aiplatform_v1, call["message"])
    return kind(json_format.ParseDict(call["request"], kind.pb(kind())))


def test_a_run_is_asked_for_in_the_words_of_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    (call,) = dry_run(capsys, *RUN, "--set", "ranking_trainer.batch_size=17")
    assert (call["host"], call["service"]) == ("europe-west4-aiplatform.googleapis.com", "PipelineService")
    request = in_schema(call)
    job = request.pipeline_job
    assert (request.parent, request.pipeline_job_id, job.display_name) == (PARENT, "night-1", "night-1")
    assert (job.service_account, job.network, dict(job.labels)) == (ACCOUNT, NETWORK, {"team": "feed"})
    assert job.runtime_config.gcs_output_directory == "gs://shop/runs"
    assert dict(job.runtime_config.parameter_values) == {
        "dataset": "gs://shop/data",
        "ranking_trainer__batch_size": 17,
        "pusher__serving_dir": "/gcs/shop/serving",
    }
    assert call["request"]["pipelineJob"]["pipelineSpec"] == yaml.safe_load(pathlib.Path(GOLDEN).read_text())


def test_the_package_in_a_request_is_one_that_kfp_knows(capsys: pytest.CaptureFixture[str]) -> None:
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    (call,) = dry_run(capsys, *RUN)
    spec = call["request"]["pipelineJob"]["pipelineSpec"]
    parsed = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    deployment = json_format.ParseDict(
        json_format.MessageToDict(parsed.deployment_spec), pipeline_spec_pb2.PipelineDeploymentConfig()
    )
    trainer = deployment.executors["exec-ranking-trainer"].container
    assert trainer.image == "registry.example/homefeed:1" and trainer.resources.resource_memory_limit == "32G"


def test_a_schedule_runs_one_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    (call,) = dry_run(capsys, *RUN, "--cron", "TZ=Europe/Berlin 0 3 * * *")
    schedule = in_schema(call).schedule
    assert (schedule.cron, schedule.max_concurrent_run_count) == ("TZ=Europe/Berlin 0 3 * * *", 1)
    inner = schedule.create_pipeline_job_request
    assert inner.parent == PARENT and inner.pipeline_job.service_account == ACCOUNT


def test_a_first_model_gets_its_endpoint_and_all_the_traffic(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--machine-type", "n1-standard-8", "--max-replicas", "5", "--service-account", ACCOUNT)
    calls = dry_run(capsys, *MODEL, "--model", "ranking", "--version", "3", *options, "--label", "team=feed")
    upload, endpoint, deployment = map(in_schema, calls)
    assert [call["method"] for call in calls] == ["upload_model", "create_endpoint", "deploy_model"]
    assert upload.model_id == endpoint.endpoint_id == "homefeed-ranking" and not upload.parent_model
    container = upload.model.container_spec
    assert upload.model.artifact_uri == "gs://shop/serving/ranking"
    assert container.image_uri == "europe-docker.pkg.dev/shop/tf/serving:2.16"
    assert "--model_base_path=$(AIP_STORAGE_URI)" in container.args and "--model_name=ranking" in container.args
    assert (container.predict_route, container.health_route) == ("/v1/models/ranking:predict", "/v1/models/ranking")
    assert container.ports[0].container_port == 8501
    deployed = deployment.deployed_model
    assert deployed.model == f"{PARENT}/models/homefeed-ranking@v3" and "v3" in upload.model.version_aliases
    assert deployed.dedicated_resources.machine_spec.machine_type == "n1-standard-8"
    assert deployed.dedicated_resources.max_replica_count == 5
    assert dict(deployment.traffic_split) == {"0": 100}
    assert deployed.service_account == upload.service_account == ACCOUNT
    assert dict(upload.model.labels) == dict(endpoint.endpoint.labels) == {"team": "feed"}


def test_a_later_model_shares_the_traffic_with_the_one_before(capsys: pytest.CaptureFixture[str]) -> None:
    calls = dry_run(capsys, *MODEL, "--version", "4", "--keep", "3=90", "--accelerator", "NVIDIA_TESLA_T4")
    upload, deployment = map(in_schema, calls)
    assert upload.parent_model == f"{PARENT}/models/homefeed-retrieval" and not upload.model_id
    assert dict(deployment.traffic_split) == {"0": 10, "3": 90} and deployment.deployed_model.id == "4"
    assert deployment.deployed_model.dedicated_resources.machine_spec.accelerator_type.name == "NVIDIA_TESLA_T4"
    (call,) = dry_run(capsys, "vertex-traffic", "--split", "4=100", "--split", "3=0", *WHERE)
    moved = in_schema(call)
    assert dict(moved.endpoint.traffic_split) == {"3": 0, "4": 100} and moved.update_mask.paths == ["traffic_split"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--project": ""}, "no project: give --project"),
        ({"--region": ""}, "no region: give --region"),
        ({"--bucket": "shop/runs"}, "should read gs://my-bucket/folder"),
        ({"--network": "inner"}, "should read projects/NUMBER/global/networks/NAME"),
        ({"--label": "Team=Feed"}, "lower-case letters"),
        ({"--package": "absent.yaml"}, "`homefeed deploy compile --out absent.yaml` makes one"),
        ({"--job-id": "Night 1"}, "may hold lower-case letters"),
        ({"--data": ""}, "the package wants its parameter 'dataset': give --data URI"),
        ({"--serving-dir": ""}, "does not say where to publish: give --serving-dir"),
        ({"--set": "ranking_trainer.learning_rate=-1"}, "expected a number above 0 and up to 1, got '-1'"),
        ({"--set": "ranking_trainr.seed=1"}, "did you mean 'ranking_trainer'?"),
    ],
)
def test_wrong_usage_exits_2(change: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = dict(zip(RUN[1::2], RUN[2::2], strict=True)) | change
    assert homefeed("vertex", *(part for pair in given.items() for part in pair), "--dry-run") == 2
    assert said in capsys.readouterr().err.replace("\n", " ")


def test_shares_of_traffic_must_add_up() -> None:
    place, serving = Place("shop", "europe-west4"), Serving("image")
    with pytest.raises(DeployUsageError, match="add up to 100"):
        traffic_calls(place, "ranking", {1: 50, 2: 49})
    with pytest.raises(DeployUsageError, match="add up to 100"):
        model_calls(place, serving, "ranking", "gs://shop/serving/ranking", 3, {2: 101})
    with pytest.raises(DeployUsageError, match="gs:// folder"):
        model_calls(place, serving, "ranking", "/var/serving/ranking", 3)
