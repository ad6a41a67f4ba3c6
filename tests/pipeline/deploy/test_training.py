"""Retrieval trained by several processes: the very commands of the files that `homefeed deploy training` writes."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
import yaml

from homefeed.components import retrieval_trainer
from homefeed.components.artifacts.types import Examples, Model, ModelRun, PretrainedBert, TransformGraph
from homefeed.models.retrieval.snapshot import Snapshot
from homefeed.serving.process import free_port
from tests.pipeline.command import homefeed
from tests.serving.deploy.test_render import documents, faults
from tests.toy_artifacts import retrieval_inputs

CONFIG = ("width=8", "num_layers=1", "max_events=4", "batch_size=4", "epochs=2")
NAMES = {"transform_graph": "graph", "examples": "examples", "bert": "bert"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A volume with what the trainer is given."""
    folder = tmp_path_factory.mktemp("volume")
    retrieval_inputs(folder, num_users=40)
    return folder


def rendered(place: pathlib.Path, made: str, *config: str) -> pathlib.Path:
    """The files for two workers that write to the folder `made` of the volume."""
    options = [f"--input={name}={place / folder}" for name, folder in NAMES.items()]
    options += [f"--output={name}={place / made / name}" for name in ("model", "model_run")]
    options += [f"--config={setting}" for setting in (*CONFIG, *config)]
    out = place / f"{made}-files"
    assert homefeed("deploy", "training", "--out", str(out), *options, "--image", "r/homefeed:7") == 0
    return out


def processes(out: pathlib.Path) -> list[subprocess.Popen[str]]:
    """What the job's pods run, here: their command with their environment, but for host names and ports."""
    *_, job = documents(out / "kubernetes.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (text,) = [entry["value"] for entry in container["env"] if entry["name"] == "TF_CONFIG"]
    for host in json.loads(text.replace("$(INDEX)", "0"))["cluster"]["worker"]:
        text = text.replace(host, f"127.0.0.1:{free_port()}")
    return [
        subprocess.Popen(
            [*container["command"], *container["args"]],
            env=environment(text.replace("$(INDEX)", str(index))),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(job["spec"]["completions"])
    ]


def environment(cluster: str) -> dict[str, str]:
    """A pod's: the program is found by its name, as in the image, whatever this shell's path is."""
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "TF_CONFIG": cluster}


def ended(started: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each."""
    try:
        return [(process.returncode, *told) for process in started for told in [process.communicate(timeout=300)]]
    finally:
        for process in started:
            process.kill()


def curve(folder: pathlib.Path) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = json.loads((folder / "model_run" / "curve.json").read_text(encoding="utf-8"))
    return rows


def weights(folder: pathlib.Path) -> dict[str, Any]:
    snapshot = Snapshot.load(Model(folder / "model").snapshot_dir)
    return {**snapshot.query_weights, **snapshot.candidate_weights}


def test_two_workers_train_the_model_of_one_process(place: pathlib.Path) -> None:
    (chief, helper) = ended(processes(rendered(place, "together", "dropout=0.0")))
    assert (chief[0], helper[0]) == (0, 0), chief[2] + helper[2]
    assert "2 epochs" in chief[1] and "the chief has written the model" in helper[1]
    assert sorted(path.name for path in (place / "together").iterdir()) == ["model", "model_run"]  # No checkpoint.
    config = dataclasses.replace(
        retrieval_trainer.Config(), **{name: yaml.safe_load(v) for name, _, v in (c.partition("=") for c in CONFIG)}
    )
    alone = place / "alone"
    graph, examples, bert = (place / folder for folder in NAMES.values())
    inputs = retrieval_trainer.Inputs(TransformGraph(graph), Examples(examples), PretrainedBert(bert))
    outputs = retrieval_trainer.Outputs(Model(alone / "model"), ModelRun(alone / "model_run"))
    retrieval_trainer.run(inputs, outputs, dataclasses.replace(config, dropout=0.0))
    losses = [[row["loss"] for row in curve(folder)] for folder in (place / "together", alone)]
    np.testing.assert_allclose(*losses, rtol=0.01)
    assert losses[0][-1] < losses[0][0]
    ours, theirs = weights(place / "together"), weights(alone)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, atol=0.02, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1], ids=["chief", "helper"])
def test_a_lost_worker_ends_all_and_the_same_command_goes_on(place: pathlib.Path, lost: int) -> None:
    broken, whole = f"broken-{lost}", f"whole-{lost}"
    files = rendered(place, broken, "epochs=5")
    started = processes(files)
    checkpoints = place / broken / "model.epochs"
    while not list(checkpoints.glob("*.npz")):
        assert all(process.poll() is None for process in started)
        time.sleep(0.05)
    started[lost].send_signal(signal.SIGKILL)
    code, _, errors = ended(started)[1 - lost]
    assert code == 1 and "ModelError: a worker of 127.0.0.1:" in errors and "Traceback" not in errors
    assert list(checkpoints.glob("*.npz")) and not list((place / broken).rglob("curve.json"))
    for folder in (broken, whole):
        found = ended(processes(files if folder == broken else rendered(place, whole, "epochs=5")))
        assert [code for code, *_ in found] == [0, 0], found
    assert len(curve(place / broken)) == 5
    for name, value in weights(place / whole).items():
        np.testing.assert_allclose(weights(place / broken)[name], value, atol=1e-5, err_msg=name)


def test_workers_need_to_know_each_other_and_a_process_of_their_own(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    *_, job = documents(rendered(place, "nobody") / "kubernetes.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    command = [*container["command"][1:], *container["args"]]
    capsys.readouterr()
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert homefeed(*command) == 1
    assert "ModelError: `strategy: workers` needs TF_CONFIG, which is not set" in capsys.readouterr().err
    alone = {"cluster": {"worker": [f"127.0.0.1:{free_port()}"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(alone))
    assert homefeed(*command) == 1  # TensorFlow has been at work in this process.
    assert "run each worker as `homefeed component retrieval_trainer`" in capsys.readouterr().err


@pytest.mark.slow
def test_a_port_that_is_taken_is_told(place: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        cluster = {"cluster": {"worker": [address]}, "task": {"type": "worker", "index": 0}}
        *_, job = documents(rendered(place, "taken") / "kubernetes.yaml")
        (container,) = job["spec"]["template"]["spec"]["containers"]
        command = [*container["command"], *container["args"]]
        done = subprocess.run(
            command, env=environment(json.dumps(cluster)), capture_output=True, text=True, timeout=300, check=False
        )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"ModelError: worker {address} does not reach" in done.stderr
    assert "nothing else listen there (UnknownError: Could not start gRPC server)" in done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--workers=3"], "batch_size=32 is to be shared by 3 devices: give a multiple of 3"),
        (["--set-task=accelerator=NVIDIA_L4", "--set-task=accelerators=3"], "by 6 devices"),
        (["--config=strategy=mirrored"], "strategy=mirrored is for one machine"),
    ],
)
def test_what_every_worker_would_refuse_is_refused_here(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    folders = [f"--input={name}=/m/{name}" for name in NAMES] + ["--output=model=/m/o", "--output=model_run=/m/r"]
    assert homefeed("deploy", "training", "--out", str(tmp_path), *folders, *options) == 2
    assert told in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        ("", "give each process of `homefeed component retrieval_trainer` its own"),
        (
            '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}',
            "would help another process",
        ),
    ],
)
def test_a_pipeline_with_workers_is_refused_before_it_runs(
    sample_data: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cluster: str,
    told: str,
) -> None:
    monkeypatch.setenv("TF_CONFIG", cluster)
    words = (
        "--data",
        str(sample_data),
        "--root",
        str(tmp_path / "root"),
        "--set",
        "retrieval_trainer.strategy=workers",
    )
    assert homefeed("run", *words) == 1
    assert told in capsys.readouterr().err and not (tmp_path / "root").exists()


def test_kubernetes_and_vertex_know_every_field(place: pathlib.Path) -> None:
    from google.cloud import aiplatform_v1
    from google.protobuf import json_format

    out = rendered(place, "fields")
    service, policy, job = documents(out / "kubernetes.yaml")
    assert [*faults(service, "V1Service", "service"), *faults(job, "V1Job", "job")] == []
    assert list(faults(policy, "V1NetworkPolicy", "policy")) == []
    assert "&id" not in (out / "kubernetes.yaml").read_text(encoding="utf-8")  # People read it.
    pod = job["spec"]["template"]
    assert service["spec"]["selector"] == pod["metadata"]["labels"]
    assert pod["spec"]["subdomain"] == service["metadata"]["name"]
    (container,) = pod["spec"]["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    # Who reaches a worker's port may have it run anything: that is for the workers alone.
    (way,) = policy["spec"]["ingress"]
    chosen = [policy["spec"]["podSelector"], way["from"][0]["podSelector"]]
    assert [selector["matchLabels"] for selector in chosen] == [pod["metadata"]["labels"]] * 2
    assert len(way["from"]) == 1 and policy["spec"]["policyTypes"] == ["Ingress"]
    (pools,) = documents(out / "vertex.yaml")
    spec = aiplatform_v1.CustomJobSpec()
    json_format.ParseDict(pools, spec._pb)
    assert [pool.replica_count for pool in spec.worker_pool_specs] == [1, 1]
    assert spec.worker_pool_specs[1].container_spec.args == pod["spec"]["containers"][0]["args"]
