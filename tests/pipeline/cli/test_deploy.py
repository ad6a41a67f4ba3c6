"""The verbs `homefeed deploy …` that need no cloud; the others are tested with what they send."""

import json
import pathlib

import pytest
import yaml

from tests.pipeline.deploy.vertex.test_requests import homefeed


def test_compile_takes_configuration_resources_and_places(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("transform: {min_count: 3}\n")
    (tmp_path / "tasks.yaml").write_text("transform: {memory: 64G}\n")
    out = tmp_path / "deep" / "homefeed.yaml"
    files = ("--config", str(tmp_path / "config.yaml"), "--tasks", str(tmp_path / "tasks.yaml"))
    places = ("--data", "gs://shop/data", "--serving-dir", "/gcs/shop/serving", "--image", "r/homefeed:7")
    settings = ("--set", "ranking_trainer.seed=4", "--set-task", "transform.cpu=500m")
    assert homefeed("compile", "--out", str(out), *files, *places, *settings, "--name", "feed", "--json") == 0
    assert json.loads(capsys.readouterr().out)["image"] == "r/homefeed:7"
    spec = yaml.safe_load(out.read_text(encoding="utf-8"))
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    defaults = {name: parameter["defaultValue"] for name, parameter in parameters.items()}
    assert defaults["dataset"] == "gs://shop/data" and defaults["pusher__serving_dir"] == "/gcs/shop/serving"
    assert defaults["transform__min_count"] == 3 and defaults["ranking_trainer__seed"] == 4
    container = spec["deploymentSpec"]["executors"]["exec-transform"]["container"]
    assert container["image"] == "r/homefeed:7" and spec["pipelineInfo"]["name"] == "feed"
    assert container["resources"]["resourceMemoryLimit"] == "64G"
    assert container["resources"]["resourceCpuLimit"] == "500m"


def test_a_wrong_setting_exits_2(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert homefeed("compile", "--out", str(tmp_path / "p.yaml"), "--set", "transform.min_cont=3") == 2
    assert "did you mean 'min_count'?" in capsys.readouterr().err
    assert not (tmp_path / "p.yaml").exists()


@pytest.mark.parametrize(
    ("status", "severity", "message"),
    [
        ({"state": "SUCCEEDED"}, "INFO", "homefeed pipeline succeeded"),
        ({"state": "FAILED", "error": {"message": "no memory"}}, "ERROR", "homefeed pipeline failed: no memory"),
        ({"state": "CANCELLED", "error": {}}, "ERROR", "homefeed pipeline cancelled"),
    ],
)
def test_the_end_of_a_run_is_one_line_with_a_severity(
    status: dict[str, object], severity: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = status | {"pipelineJobResourceName": "jobs/1", "pipelineTaskName": "exit-handler-1"}
    assert homefeed("report", "--status", json.dumps(given)) == 0
    line = {"severity": severity, "message": message, "run": "jobs/1", "task": "exit-handler-1"}
    assert json.loads(capsys.readouterr().out) == line


def test_serving_files_need_pushed_models(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert homefeed("serving", "--root", str(tmp_path), "--out", str(tmp_path / "out")) == 1
    assert "holds no pushed models" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
