"""Clients generated from TensorFlow Serving's messages in other languages, against our server."""

import json
import pathlib
from collections.abc import Iterator

import pytest

from tests.serving.conftest import Models
from tests.serving.servers import running_server
from tests.serving.strangers import workshop

pytestmark = pytest.mark.strangers
# y = x / 2 + 2; codes are gRPC's numbers: 5 NOT_FOUND, 3 INVALID_ARGUMENT, 4 DEADLINE_EXCEEDED.
EXPECTED = {
    "state": "AVAILABLE",
    "signatures": ["__saved_model_init_op", "count", "multiply", "serving_default", "shout"],
    "version": 1,
    "y": [3.0, 5.0],
    "upper": ["AB", "中"],
    "missing": 5,
    "wrong_type": 3,
    "late": 4,
}


@pytest.fixture(scope="module")
def target(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("served")
    models.publish("half_plus_two", root / "half", 1)
    with running_server(model_name="half", model_base_path=str(root / "half"), enable_grpc_reflection=True) as server:
        yield f"127.0.0.1:{server.grpc_port}"


def test_go(target: str) -> None:
    assert json.loads(workshop.run(workshop.go_client(), target)) == EXPECTED


def test_java(target: str) -> None:
    assert json.loads(workshop.run(*workshop.java_client(), target)) == EXPECTED


def test_node(target: str) -> None:
    assert json.loads(workshop.run(*workshop.node_client(), target, workshop.descriptors())) == EXPECTED


@pytest.mark.parametrize("by_reflection", [True, False])
def test_ghz_loads_it(target: str, by_reflection: bool, tmp_path: pathlib.Path) -> None:
    """4,000 calls, 32 at a time, over 4 connections: all are answered."""
    tensor = {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": 1}, {"size": 1}]}, "float_val": [2]}
    request = json.dumps({"model_spec": {"name": "half"}, "inputs": {"x": tensor}})
    flags = [
        "--insecure",
        "--call=tensorflow.serving.PredictionService/Predict",
        f"--data={request}",
        "--format=json",
    ]
    flags += ["--total=4000", "--concurrency=32", "--connections=4", "--timeout=20s"]
    known = [] if by_reflection else [f"--protoset={workshop.descriptors()}"]
    report = json.loads(workshop.run(workshop.go_tool("ghz"), *flags, *known, target))
    assert report["count"] == 4000 and report["statusCodeDistribution"] == {"OK": 4000}
