"""The package for Kubeflow and Vertex AI: what is in it, and that it runs."""

import dataclasses
import importlib
import json
import pathlib
import sys
import textwrap
from typing import Any

import pytest
import yaml

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.cli.main import main
from homefeed.pipeline.config import ConfigError, load_config
from homefeed.pipeline.dag import Channel, Dag
from homefeed.pipeline.deploy.kubeflow.compile import (
    Deployment,
    compile_pipeline,
    parameter_name,
    run_here,
    write_package,
)
from homefeed.pipeline.deploy.kubeflow.containers import LOCAL_IMAGE
from homefeed.pipeline.deploy.kubeflow.tasks import load_tasks
from homefeed.pipeline.recommender import recommender
from tests.counting import count_instead_of_training
from tests.pipeline.toys.pipeline import toy_dag
from tests.runs import SMALL, metrics_of, run_small

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "homefeed.yaml"


def package(dag: Dag, out: pathlib.Path, *settings: str, local: bool = False, tasks: tuple[str, ...] = ()) -> Any:
    configs = load_config(dag, settings=settings)
    deployment = Deployment(load_tasks(dag, settings=tasks), "registry.example/homefeed:1")
    write_package(compile_pipeline(dag, configs, deployment, local=local), out)
    return yaml.safe_load(out.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def dag() -> Dag:
    return recommender(DatasetDir(pathlib.Path("data")))


@pytest.fixture(scope="module")
def spec(dag: Dag, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return package(dag, tmp_path_factory.mktemp("package") / "homefeed.yaml")


def executors(spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = spec["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-").replace("-", "_"): executor for name, executor in found.items()}


def test_the_package_is_the_golden_one(spec: Any, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--refresh-golden"):
        GOLDEN.write_text(yaml.safe_dump(spec, sort_keys=True), encoding="utf-8")
    assert spec == yaml.safe_load(GOLDEN.read_text(encoding="utf-8")), "`make golden` accepts the change"


def test_kfp_loads_the_package(dag: Dag, tmp_path: pathlib.Path) -> None:
    from kfp import components

    package(dag, tmp_path / "p.yaml")
    loaded = components.load_component_from_file(str(tmp_path / "p.yaml"))
    assert loaded.name == "homefeed"
    assert {"dataset", "ranking_trainer__batch_size", "pusher__serving_dir"} <= loaded.component_spec.inputs.keys()
    assert loaded.required_inputs == ["dataset"]


def test_every_config_field_is_a_parameter_with_its_default(dag: Dag, spec: Any) -> None:
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    expected = {"dataset"}
    for node in dag.nodes:
        default = node.component.config()
        for field in dataclasses.fields(default):
            name = parameter_name(node.name, field.name)
            expected.add(name)
            value = getattr(default, field.name)
            assert parameters[name]["defaultValue"] == (list(value) if isinstance(value, tuple) else value), name
    assert parameters.keys() == expected


@pytest.mark.parametrize(
    ("setting", "parameter", "value"),
    [
        ("ranking_trainer.batch_size=17", "ranking_trainer__batch_size", 17),
        ("example_gen.split=hash", "example_gen__split", "hash"),
        ("example_gen.beam_options=[--region=europe-west4]", "example_gen__beam_options", ["--region=europe-west4"]),
        ("evaluator.ranking_margin=0.25", "evaluator__ranking_margin", 0.25),
    ],
)
def test_changing_a_field_changes_exactly_its_parameter(
    dag: Dag, spec: Any, tmp_path: pathlib.Path, setting: str, parameter: str, value: Any
) -> None:
    changed = package(dag, tmp_path / "p.yaml", setting)
    place = changed["root"]["inputDefinitions"]["parameters"][parameter]
    assert place["defaultValue"] == value
    place["defaultValue"] = spec["root"]["inputDefinitions"]["parameters"][parameter]["defaultValue"]
    assert changed == spec


def test_the_containers_call_the_one_entry_point(dag: Dag, spec: Any) -> None:
    for node in dag.nodes:
        container = executors(spec)[node.name]["container"]
        assert container["image"] == "registry.example/homefeed:1"
        assert container["command"] == ["homefeed", "component", node.name]
        given = [
            (flag, value.partition("=")[0])
            for flag, value in zip(container["args"], container["args"][1:], strict=False)
            if flag in ("--input", "--output", "--config")
        ]
        part = node.component
        fields = [field.name for field in dataclasses.fields(part.config)]
        expected = [("--input", n) for n in part.input_types] + [("--output", n) for n in part.output_types]
        assert sorted(given) == sorted([*expected, *(("--config", field) for field in fields)])


def test_every_wire_of_the_dag_is_a_wire_of_the_package(dag: Dag, spec: Any) -> None:
    for node in dag.nodes:
        wired = spec["components"][f"comp-{node.name.replace('_', '-')}"]["inputDefinitions"]["artifacts"]
        assert wired.keys() == node.inputs.keys()
        for name, type_ in node.component.input_types.items():
            assert wired[name]["description"].startswith(f"{type_.__name__}: ")
    wired = spec["components"]["comp-pusher"]["inputDefinitions"]["artifacts"]
    schemas = {name: a["artifactType"]["schemaTitle"] for name, a in wired.items()}
    assert schemas["ranking_model"] == "system.Model" and schemas["examples"] == "system.Dataset"


def test_gates_are_conditions_around_all_that_follows_them(dag: Dag, spec: Any) -> None:
    inside = {
        task["triggerPolicy"]["condition"]: _all_tasks(spec, task["componentRef"]["name"])
        for component in spec["components"].values()
        for task in component.get("dag", {}).get("tasks", {}).values()
        if "triggerPolicy" in task
    }
    names = [name.replace("_", "-") for name in dag.names()]
    gates = {"example-validator": "anomalies", "evaluator": "blessing", "infra-validator": "blessing"}
    assert inside == {
        f"inputs.parameter_values['pipelinechannel--{name}-{gate}_verdict'] == 'open'": set(
            names[names.index(name) + 1 :]
        )
        for name, gate in gates.items()
    }
    assert "pusher" in min(inside.values(), key=len)


def _all_tasks(spec: Any, component: str) -> set[str]:
    found = set()
    for name, task in spec["components"][component]["dag"]["tasks"].items():
        child = task["componentRef"]["name"]
        inner = "dag" in spec["components"][child]
        found |= _all_tasks(spec, child) if inner else {name}
    return found


def test_the_exit_handler_runs_whatever_happened(spec: Any) -> None:
    tasks = spec["root"]["dag"]["tasks"]
    assert tasks["report"]["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert tasks["report"]["inputs"]["parameters"]["status"] == {
        "taskFinalStatus": {"producerTask": "exit-handler-1"}
    }
    assert executors(spec)["report"]["container"]["command"] == ["homefeed", "deploy", "report"]


def test_resources_retries_and_caching_are_those_asked_for(dag: Dag, tmp_path: pathlib.Path) -> None:
    wanted = ("ranking_trainer.accelerator=NVIDIA_L4", "ranking_trainer.memory=64G", "transform.retries=0")
    spec = package(dag, tmp_path / "p.yaml", tasks=(*wanted, "transform.cache=false"))
    resources = executors(spec)["ranking_trainer"]["container"]["resources"]
    assert (
        resources["accelerator"]["resourceType"] == "NVIDIA_L4" and resources["accelerator"]["resourceCount"] == "1"
    )
    assert resources["resourceMemoryLimit"] == "64G" and resources["resourceCpuRequest"] == "8"
    tasks = {k: v for c in spec["components"].values() for k, v in c.get("dag", {}).get("tasks", {}).items()}
    assert "retryPolicy" not in tasks["transform"] and tasks["transform"]["cachingOptions"] == {}
    assert tasks["evaluator"]["retryPolicy"]["maxRetryCount"] == 2
    assert tasks["evaluator"]["cachingOptions"] == {"enableCache": True}
    assert tasks["pusher"]["cachingOptions"] == {}


def test_a_wrong_task_setting_names_the_near_miss(dag: Dag) -> None:
    with pytest.raises(ConfigError, match="did you mean 'ranking_trainer'"):
        load_tasks(dag, settings=("ranking_trainr.cpu=4",))
    with pytest.raises(ConfigError, match="did you mean 'memory'"):
        load_tasks(dag, settings=("transform.memry=4",))


def test_a_new_component_is_one_file_and_one_line(
    dag: Dag, spec: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The file.
    (tmp_path / "yours").mkdir()
    (tmp_path / "yours" / "item_counter.py").write_text(
        textwrap.dedent('''
        """ItemCounter: counts the models' files."""
        import dataclasses
        from homefeed.components.artifacts.types import Model, ModelRun

        @dataclasses.dataclass(frozen=True)
        class Inputs:
            model: Model

        @dataclasses.dataclass(frozen=True)
        class Outputs:
            count: ModelRun

        @dataclasses.dataclass(frozen=True)
        class Config:
            suffix: str = ".pb"

        def run(inputs, outputs, config):
            found = len(list(inputs.model.path.rglob("*" + config.suffix)))
            outputs.count.write_json("count.json", found)
            return f"{found} files"
        '''),
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    item_counter = importlib.import_module("yours.item_counter")
    bigger = recommender(DatasetDir(pathlib.Path("data")))
    retrieval = next(node for node in bigger.nodes if node.name == "retrieval_trainer").component
    # The line.
    bigger.add(item_counter, model=Channel("retrieval_trainer", "model", retrieval.output_types["model"]))

    changed = package(bigger, tmp_path / "p.yaml")
    assert executors(changed).keys() - executors(spec).keys() == {"item_counter"}
    container = executors(changed)["item_counter"]["container"]
    assert container["command"] == ["homefeed", "component", "yours.item_counter"]
    assert "suffix={{$.inputs.parameters['suffix']}}" in container["args"]
    assert changed["root"]["inputDefinitions"]["parameters"]["item_counter__suffix"]["defaultValue"] == ".pb"


@pytest.fixture
def numbers(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "numbers"
    folder.mkdir()
    (folder / "numbers.txt").write_text("1 2 4")
    return folder


def run_toy_here(numbers: pathlib.Path, root: pathlib.Path, *settings: str) -> pathlib.Path:
    dag = toy_dag(numbers)
    configs = load_config(dag, settings=settings)
    pipeline = compile_pipeline(dag, configs, Deployment(load_tasks(dag), LOCAL_IMAGE), local=True)
    try:
        run_here(pipeline, root, {"dataset": str(numbers)})
    finally:
        (run,) = root.iterdir()
    return run


def test_kfp_runs_a_chain_of_components_in_processes_of_their_own(
    numbers: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = run_toy_here(numbers, tmp_path / "root", "count_gen.factor=3")
    assert json.loads((run / "count-gen" / "examples" / "numbers.json").read_text()) == [3, 6, 12]
    assert json.loads((run / "doubler" / "doubled" / "double.json").read_text()) == 2 * 21


def test_a_closed_gate_stops_the_run_of_kfp(
    numbers: pathlib.Path, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError, match="sum-gate"):
        run_toy_here(numbers, tmp_path / "root", "sum_gate.limit=5")
    (run,) = (tmp_path / "root").iterdir()
    assert (run / "sum-gate").is_dir() and not (run / "doubler").exists()
    assert "GateClosed: SumGate" in capfd.readouterr().out


def run_recommender_of_kfp(data: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Runs the whole package by kfp; what it serves lies in the folder that is returned."""
    dag, serving = recommender(DatasetDir(data)), folder / "serving"
    configs = load_config(dag, settings=SMALL, defaults={"pusher": {"serving_dir": str(serving)}})
    pipeline = compile_pipeline(dag, configs, Deployment(load_tasks(dag), LOCAL_IMAGE), local=True)
    run_here(pipeline, folder / "theirs", {"dataset": str(data)})
    return serving


def run_in_this_process(full_command: list[str]) -> int:
    """What kfp would start as a process, without a start of TensorFlow for each component."""
    command = full_command.index("component")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["homefeed", *full_command[command:]])
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


def test_kfp_and_the_local_runner_agree_on_models_that_count(
    sample_data: pathlib.Path, counted_root: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_instead_of_training(monkeypatch)
    monkeypatch.setattr("kfp.local.subprocess_task_handler.run_local_subprocess", run_in_this_process)
    serving = run_recommender_of_kfp(sample_data, tmp_path)
    assert metrics_of(tmp_path / "theirs") == metrics_of(counted_root)
    assert sorted(path.name for path in serving.iterdir() if path.is_dir()) == sorted(
        path.name for path in (counted_root / "serving").iterdir() if path.is_dir()
    )


@pytest.mark.slow
def test_kfp_and_the_local_runner_agree_and_what_it_pushed_answers(
    sample_data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    from homefeed.serving.predictors import GrpcPredictor
    from homefeed.serving.process import model_server
    from homefeed.serving.profiles import FILE_NAME, ProfileStore
    from homefeed.serving.recommender import Recommender

    run_small(sample_data, tmp_path / "ours")
    serving = run_recommender_of_kfp(sample_data, tmp_path)
    assert metrics_of(tmp_path / "theirs") == metrics_of(tmp_path / "ours")

    request = ProfileStore(serving / FILE_NAME).get("user-0001")
    with model_server({name: serving / name for name in ("retrieval", "ranking")}, tmp_path) as address:
        (page,) = Recommender(GrpcPredictor(address)).recommend([request], k=10)
    assert len(page) == 10
