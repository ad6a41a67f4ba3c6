"""How requests reach Vertex AI: a local stand-in keeps what is sent."""

import json
import pathlib
import urllib.parse

import pytest

from homefeed.pipeline.deploy.errors import DeployError
from homefeed.pipeline.deploy.vertex.requests import Place, traffic_calls
from homefeed.pipeline.deploy.vertex.send import send
from tests.pipeline.deploy.vertex.test_requests import MODEL, PARENT, RUN, dry_run, homefeed, in_schema
from tests.pipeline.http_recorder import Answer, Recorded, http_recorder


def answer(request: Recorded) -> Answer:
    """As Vertex AI does: echoes what it made; what takes long has been done already."""
    path = urllib.parse.urlsplit(request.path).path.removeprefix("/v1/")
    types = "type.googleapis.com/google.cloud.aiplatform.v1."
    done = {
        f"{PARENT}/models:upload": {
            "@type": f"{types}UploadModelResponse",
            "model": f"{PARENT}/models/homefeed-ranking",
        },
        f"{PARENT}/endpoints": {"@type": f"{types}Endpoint", "name": f"{PARENT}/endpoints/homefeed-ranking"},
        f"{PARENT}/endpoints/homefeed-ranking:deployModel": {"@type": f"{types}DeployModelResponse"},
    }
    if path in done:
        return 200, {"name": f"{PARENT}/operations/1", "done": True, "response": done[path]}
    return 200, {"name": f"{PARENT}/pipelineJobs/night-1"}


def test_a_dry_run_shows_what_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    with http_recorder(answer) as (url, requests):
        (call,) = dry_run(capsys, *RUN, "--api-endpoint", url)
        assert not requests
        assert homefeed(*RUN, "--api-endpoint", url) == 0
        (sent,) = requests
        assert json.loads(capsys.readouterr().out) == {"made": [f"{PARENT}/pipelineJobs/night-1"]}
    where = urllib.parse.urlsplit(sent.path)
    assert (sent.method, where.path) == ("POST", f"/v1/{PARENT}/pipelineJobs")
    assert urllib.parse.parse_qs(where.query)["pipelineJobId"] == ["night-1"]
    assert "authorization" not in sent.headers
    shown = call["request"]
    assert in_schema({**call, "request": {**shown, "pipelineJob": sent.body}}) == in_schema(call)


def test_a_model_is_uploaded_and_then_deployed(capsys: pytest.CaptureFixture[str]) -> None:
    with http_recorder(answer) as (url, requests):
        arguments = (*MODEL, "--model", "ranking", "--version", "3", "--api-endpoint", url)
        calls = dry_run(capsys, *arguments)
        assert homefeed(*arguments) == 0
        paths = [urllib.parse.urlsplit(request.path).path for request in requests]
    assert paths == [
        f"/v1/{PARENT}/models:upload",
        f"/v1/{PARENT}/endpoints",
        f"/v1/{PARENT}/endpoints/homefeed-ranking:deployModel",
    ]
    upload, create, deploy = calls
    assert in_schema({**upload, "request": {"parent": PARENT, **requests[0].body}}) == in_schema(upload)
    shown = {"parent": PARENT, "endpointId": "homefeed-ranking", "endpoint": requests[1].body}
    assert in_schema({**create, "request": shown}) == in_schema(create)
    shown = {"endpoint": f"{PARENT}/endpoints/homefeed-ranking", **requests[2].body}
    assert in_schema({**deploy, "request": shown}) == in_schema(deploy)


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (403, "Permission 'aiplatform.pipelineJobs.create' denied", "needs roles/aiplatform.user in project shop"),
        (404, "bucket gs://shop does not exist", "bucket gs://shop does not exist"),
        (400, "Invalid field", "answered 400: "),
    ],
)
def test_a_refusal_is_one_line_and_exit_code_1(
    status: int, message: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with http_recorder(lambda request: (status, {"error": {"code": status, "message": message}})) as (url, _):
        assert homefeed(*RUN, "--api-endpoint", url) == 1
    shown = capsys.readouterr().err
    assert said in shown and message in shown and "Traceback" not in shown


def test_a_host_that_is_not_there_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    with http_recorder(answer) as (url, _):
        pass
    assert homefeed(*RUN, "--api-endpoint", url) == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_missing_credentials_say_how_to_get_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    assert homefeed(*RUN) == 1
    assert "gcloud auth application-default login" in capsys.readouterr().err


def test_an_answer_that_is_no_answer_is_an_error_of_ours() -> None:
    place = Place("shop", "europe-west4")
    with http_recorder(lambda request: (500, {})) as (url, _):
        broken = Place("shop", "europe-west4", api_endpoint=url)
        with pytest.raises(DeployError, match="answered 500"):
            send(traffic_calls(place, "ranking", {1: 100}), broken)
