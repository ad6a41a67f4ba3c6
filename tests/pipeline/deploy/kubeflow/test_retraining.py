"""The package that retrains: what is in it, and that it runs."""

import dataclasses
import hashlib
import itertools
import json
import pathlib
import re
import shlex
import shutil
import sys
from typing import Any

import numpy as np
import pytest
import yaml

from homefeed.components.artifacts.types import DatasetDir
from homefeed.models.shared.snapshot_files import ARRAYS
from homefeed.pipeline.cli.main import main
from homefeed.pipeline.config import ConfigError, load_config
from homefeed.pipeline.dag import Dag
from homefeed.pipeline.datasets.sample import write_weeks
from homefeed.pipeline.deploy.kubeflow.compile import Deployment, parameter_name, run_here, write_package
from homefeed.pipeline.deploy.kubeflow.containers import LOCAL_IMAGE
from homefeed.pipeline.deploy.kubeflow.retraining import compile_retraining, load_task
from homefeed.pipeline.loop.options import Options
from homefeed.pipeline.loop.retrain import DECIDED
from homefeed.pipeline.recommender import recommender
from homefeed.pipeline.runner.lineage import summarize, trace
from homefeed.pipeline.runner.metadata import MetadataStore
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.releases import Releases
from tests.counting import count_instead_of_training
from tests.pipeline.deploy.vertex.test_requests import homefeed
from tests.runs import SMALL

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "retrain.yaml"
LAX = ("evaluator.base_margin=1.0", "evaluator.slice_margin=1.0")


@pytest.fixture(scope="module")
def dag() -> Dag:
    return recommender(DatasetDir(pathlib.Path("data")))


def package(dag: Dag, out: pathlib.Path, options: Options = Options(), *settings: str) -> Any:  # noqa: B008
    configs = load_config(dag, settings=settings)
    deployment = Deployment(load_task(), "registry.example/homefeed:1", "homefeed-retrain")
    write_package(compile_retraining(dag, configs, options, "/mnt/root", deployment), out)
    return yaml.safe_load(out.read_text(encoding="utf-8"))


def arguments(spec: Any) -> list[str]:
    found: list[str] = spec["deploymentSpec"]["executors"]["exec-retrain"]["container"]["args"]
    return found


def test_the_package_is_the_golden_one(dag: Dag, tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> None:
    spec = package(dag, tmp_path / "p.yaml")
    if request.config.getoption("--refresh-golden"):
        GOLDEN.write_text(yaml.safe_dump(spec, sort_keys=True), encoding="utf-8")
    assert spec == yaml.safe_load(GOLDEN.read_text(encoding="utf-8")), "`make golden` accepts the change"


def test_every_field_that_is_not_decided_by_a_retraining_is_a_parameter_and_an_argument(
    dag: Dag, tmp_path: pathlib.Path
) -> None:
    spec = package(dag, tmp_path / "p.yaml", Options(window=3), "transform.min_count=3")
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    fields = {
        f"{node.name}.{field.name}"
        for node in dag.nodes
        for field in dataclasses.fields(node.component.config)
        if field.name not in DECIDED.get(node.name, ())
    }
    named = {parameter_name(*field.split(".")) for field in fields}
    assert parameters.keys() == named | {"dataset", "root", "window", "replay", "drift_margin"}
    assert parameters["window"]["defaultValue"] == 3 and parameters["transform__min_count"]["defaultValue"] == 3
    assert parameters["root"]["defaultValue"] == "/mnt/root" and "defaultValue" not in parameters["dataset"]
    pairs = itertools.pairwise(arguments(spec))
    given = [after.partition("=")[0] for flag, after in pairs if flag == "--set"]
    assert sorted(given) == sorted(fields)
    assert "evaluator.base_models" not in fields and "evaluator.base_margin" in fields


def test_options_without_a_value_are_not_on_the_command_line(dag: Dag, tmp_path: pathlib.Path) -> None:
    def options(spec: Any) -> set[str]:
        return {a.partition("=")[0] for a in arguments(spec) if a.startswith("--") and a != "--set"}

    always = {"--data", "--root", "--window", "--replay", "--drift-margin"}
    assert options(package(dag, tmp_path / "p.yaml")) == always
    conditions = Options(if_older_than=7.0, min_new_events=10, on_drift=True, refit=True, check="./try.sh")
    spec = package(dag, tmp_path / "p.yaml", conditions)
    assert options(spec) - always == {"--if-older-than", "--min-new-events", "--on-drift", "--refit", "--check"}
    assert spec["root"]["inputDefinitions"]["parameters"]["if_older_than"]["defaultValue"] == 7.0
    assert "on_drift" not in spec["root"]["inputDefinitions"]["parameters"]


def test_it_is_an_act_under_an_exit_handler(dag: Dag, tmp_path: pathlib.Path) -> None:
    spec = package(dag, tmp_path / "p.yaml")
    (task,) = (
        task
        for component in spec["components"].values()
        for name, task in component.get("dag", {}).get("tasks", {}).items()
        if name == "retrain"
    )
    assert task["cachingOptions"] == {} and "retryPolicy" not in task
    assert spec["root"]["dag"]["tasks"]["report"]["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    container = spec["deploymentSpec"]["executors"]["exec-retrain"]["container"]
    assert container["command"] == ["homefeed", "retrain"] and container["resources"]["resourceMemoryLimit"] == "32G"
    with pytest.raises(ConfigError, match="did you mean 'memory'"):
        load_task(("retrain.memry=4",))


def test_it_is_sent_by_a_schedule_as_the_plain_package_is(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "retrain.yaml"
    given = (
        "--root /gcs/shop/root --data gs://shop/data --window 4 --set transform.min_count=3 --set-task retrain.cpu=16"
    )
    assert homefeed("compile-retrain", "--out", str(out), *shlex.split(given)) == 0
    place = f"--package {out} --bucket gs://shop/runs --project shop --region europe-west4 --dry-run"
    schedule = "--set ranking_trainer.seed=4 --cron '0 3 * * *' --job-id weekly"
    capsys.readouterr()
    assert homefeed("vertex", *shlex.split(f"{place} {schedule}")) == 0
    (sent,) = yaml.safe_load(capsys.readouterr().out)
    job = sent["request"]["schedule"]["createPipelineJobRequest"]["pipelineJob"]
    assert sent["request"]["schedule"]["cron"] == "0 3 * * *"
    assert job["runtimeConfig"]["parameterValues"] == {"ranking_trainer__seed": 4}
    known = job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    assert known["pusher__serving_dir"]["defaultValue"] == "/gcs/shop/root/serving"
    assert known["dataset"]["defaultValue"] == "gs://shop/data"
    resources = job["pipelineSpec"]["deploymentSpec"]["executors"]["exec-retrain"]["container"]["resources"]
    assert resources["resourceCpuLimit"] == "16"


def run_in_this_process(full_command: list[str]) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["homefeed", *full_command[full_command.index("retrain") :]])
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


def local_pipeline(data: pathlib.Path, root: pathlib.Path, options: Options) -> Any:
    """What kfp runs here, of models that are as small as they can be."""
    dag = recommender(DatasetDir(data))
    configs = load_config(dag, settings=(*SMALL, *LAX), defaults={"pusher": {"serving_dir": str(root / "serving")}})
    deployment = Deployment(load_task(), LOCAL_IMAGE, "homefeed-retrain")
    return compile_retraining(dag, configs, options, str(root), deployment, local=True)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    count_instead_of_training(monkeypatch)
    monkeypatch.setattr("kfp.local.subprocess_task_handler.run_local_subprocess", run_in_this_process)


@pytest.mark.usefixtures("in_this_process")
def test_kfp_retrains_against_the_models_in_service_and_stops_at_bad_data(
    sample_data: pathlib.Path, counted_root: pathlib.Path, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, root = tmp_path / "data", tmp_path / "root"
    shutil.copytree(sample_data, data)
    shutil.copytree(counted_root, root)
    pipeline = local_pipeline(data, root, Options())
    first = trace(RunRoot(root), "1")["made_by"]["inputs"]
    bases = [pathlib.Path(first[name]["path"]) for name in ("retrieval_model", "ranking_model")]
    for base in bases:  # Those that count have nothing to go on from.
        (base / "Snapshot").mkdir()
    run_here(pipeline, tmp_path / "kfp", {"dataset": str(data)})
    (run,) = json.loads((root / "retraining.json").read_text(encoding="utf-8"))["runs"]
    assert run["outcome"] == "pushed" and Releases(root / "serving").stable() == 2
    found = summarize(trace(RunRoot(root), "2"))
    assert found["parents"] == [1]
    trainers = ("RetrievalTrainer", "RankingTrainer")
    assert [base_of(found, trainer, root) for trainer in trainers] == bases
    log = data / "interactions.csv"
    log.write_text(re.sub(",(view|click|purchase),", r",EVT_\1,", log.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(RuntimeError, match="retrain"):
        run_here(pipeline, tmp_path / "kfp", {"dataset": str(data)})
    assert "event_type is not one of" in capfd.readouterr().err
    assert Releases(root / "serving").stable() == 2


@pytest.mark.slow
def test_kfp_goes_on_from_the_models_in_service_and_a_drifted_span_changes_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With trained models: a run learns nothing of its own, so that its weights are those that it began with."""
    monkeypatch.setattr("kfp.local.subprocess_task_handler.run_local_subprocess", run_in_this_process)
    store, data, root = (tmp_path / name for name in ("store", "data", "root"))
    spans = write_weeks(store, num_weeks=3, num_users=60, num_items=60, num_events=3_000)
    data.mkdir()
    shutil.copy(store / "dataset.yaml", data)
    pipeline = local_pipeline(data, root, Options(window=2))

    def deliver_and_run(week: int, **parameters: float) -> None:
        for table in ("interactions", "items", "users"):
            (data / table).mkdir(exist_ok=True)
            shutil.copy(store / table / f"{spans[week]}.csv", data / table)
        run_here(pipeline, tmp_path / "kfp", {"dataset": str(data), **parameters})

    deliver_and_run(0)
    still = {f"{trainer}__learning_rate": 1e-12 for trainer in ("retrieval_trainer", "ranking_trainer")}
    deliver_and_run(1, **still)
    made = trace(RunRoot(root), "2")
    found = summarize(made)
    assert found["parents"] == [1] and found["spans"] == spans[:2]
    assert summarize(trace(RunRoot(root), "1"))["spans"] == spans[:1]
    old, new = (trace(RunRoot(root), version)["made_by"]["inputs"] for version in ("1", "2"))
    for component, model in (("RetrievalTrainer", "retrieval_model"), ("RankingTrainer", "ranking_model")):
        assert base_of(found, component, root) == pathlib.Path(old[model]["path"])
        weights, base = (dense_weights(pathlib.Path(models[model]["path"])) for models in (new, old))
        same = [name for name, array in weights.items() if np.allclose(array, base[name], atol=1e-6)]
        assert len(same) > 0.9 * len(weights) > 3, model
    before = state(root)
    with pytest.raises(RuntimeError, match="retrain"):
        deliver_and_run(2, drift_margin=0.0)
    said = capfd.readouterr().err
    assert f"span {spans[2]}" in said and "jensen_shannon" in said
    assert state(root) == before


def base_of(summary: dict[str, Any], trainer: str, root: pathlib.Path) -> pathlib.Path:
    """Folder of the model that a trainer went on from, as lineage has it: below the root, which may be moved."""
    return pathlib.Path(summary["config"][trainer]["base_model"].replace("{root}", str(root)))


def dense_weights(model: pathlib.Path) -> dict[str, Any]:
    """Weights of a snapshot that are no tables: what stands in their rows differs from span to span."""
    with np.load(model / "Snapshot" / ARRAYS) as arrays:
        return {name: arrays[name] for name in arrays.files if arrays[name].ndim == 2}


def state(root: pathlib.Path) -> dict[str, Any]:
    """What a root serves and has recorded of its retrainings, and the models in it, byte for byte."""
    models = (path for path in (root / "serving").rglob("*") if path.is_file())
    return {
        "stable": Releases(root / "serving").stable(),
        "runs": json.loads((root / "retraining.json").read_text(encoding="utf-8"))["runs"],
        "models": {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in models},
        "pushed": len(MetadataStore(RunRoot(root)).all("PushedModel")),
    }
