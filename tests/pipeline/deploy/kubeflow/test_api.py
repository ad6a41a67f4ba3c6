"""What Kubeflow Pipelines is asked: against its client's own models, and against a local stand-in."""

import json
import pathlib
from typing import Any

import pytest
import yaml

from homefeed.pipeline.deploy.kubeflow.api import as_json, run_request
from tests.pipeline.deploy.vertex.test_requests import GOLDEN, dry_run, homefeed
from tests.pipeline.http_recorder import Answer, Recorded, http_recorder

RUN = ("kubeflow", "--package", GOLDEN, "--data", "s3://shop/data", "--name", "night-1", "--namespace", "feed")
RUN = (*RUN, "--serving-dir", "/mnt/serving")


def answer(request: Recorded) -> Answer:
    if request.path == "/apis/v2beta1/healthz":
        return 200, {"multi_user": True}
    if request.path == "/apis/v2beta1/runs":
        return 200, {"run_id": "r-1"}
    if request.path == "/apis/v2beta1/recurringruns":
        return 200, {"recurring_run_id": "s-1"}
    return 404, {"error": "no such path"}


def in_schema(call: dict[str, Any]) -> Any:
    """The body as the client's own model; a field that the model does not have is an error."""
    import kfp_server_api

    kind = getattr(kfp_server_api, call["message"])
    assert call["request"].keys() <= set(kind.attribute_map.values())
    return kfp_server_api.ApiClient()._ApiClient__deserialize(call["request"], kind)


@pytest.mark.parametrize(
    ("options", "made"), [((), {"id": "r-1"}), (("--cron", "0 0 3 * * *"), {"id": "s-1"})], ids=["run", "schedule"]
)
def test_a_dry_run_shows_what_is_sent(
    options: tuple[str, ...], made: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    (tmp_path / "token").write_text("secret\n")
    options = (*options, "--pipeline-root", "s3://shop/runs", "--service-account", "feeder")
    with http_recorder(answer) as (url, requests):
        arguments = (*RUN, *options, "--host", url, "--token-file", str(tmp_path / "token"))
        (call,) = dry_run(capsys, *arguments)
        assert not requests
        assert homefeed(*arguments) == 0
        assert json.loads(capsys.readouterr().out) == made
    sent = requests[-1]
    assert f"{sent.method} {sent.path}" == call["method"] and sent.body == call["request"]
    assert sent.headers["authorization"] == "Bearer secret" and "secret" not in json.dumps(call)
    body = in_schema(call)
    assert body.display_name == "night-1" and body.service_account == "feeder"
    assert body.runtime_config.parameters == {"dataset": "s3://shop/data", "pusher__serving_dir": "/mnt/serving"}
    assert body.runtime_config.pipeline_root == "s3://shop/runs"
    assert body.pipeline_spec == yaml.safe_load(pathlib.Path(GOLDEN).read_text())


def test_a_schedule_runs_one_at_a_time() -> None:
    body = in_schema(as_json(run_request({}, "night", {}, cron="0 0 3 * * *")))
    assert body.trigger.cron_schedule.cron == "0 0 3 * * *"
    assert (body.mode, body.max_concurrency, body.no_catchup) == ("ENABLE", "1", True)


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "--token-file"), (403, "kubeflow-edit in namespace feed"), (404, "the address of the Kubeflow")],
)
def test_a_refusal_is_one_line_and_exit_code_1(status: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with http_recorder(lambda request: (status, {"error": "no", "message": "not for you"})) as (url, _):
        assert homefeed(*RUN, "--host", url) == 1
    shown = capsys.readouterr().err
    assert f"{status}: not for you" in shown and said in shown and "Traceback" not in shown


def test_a_missing_token_file_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert homefeed(*RUN, "--host", "http://127.0.0.1:1", "--token-file", "absent") == 2
    assert "there is no token file absent" in capsys.readouterr().err


def test_without_host_and_kubectl_context_it_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    assert homefeed(*RUN) == 1
    assert "Traceback" not in capsys.readouterr().err
