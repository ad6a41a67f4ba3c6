"""The examples of docs/serving.md and of the client's README, run as they stand."""

import json
import pathlib
import shlex
import shutil
import subprocess
import sys
from typing import Any

import grpc
import pytest

from homefeed.serving import process
from homefeed.serving.releases import Releases
from tests import documents
from tests.serving.servers import running_server
from tests.serving.test_releases import parsed

GUIDE = documents.HOUSE / "docs" / "serving.md"
CLIENT_README = documents.HOUSE / "serving" / "client" / "README.md"


def python_of(page: pathlib.Path) -> list[str]:
    return [block.text for block in documents.blocks("python") if block.page == page]


def commands(program: str) -> list[str]:
    lines = [line for block in documents.blocks("sh") if block.page == GUIDE for line in documents.commands(block)]
    return [line for line in lines if line.startswith(f"{program} ")]


@pytest.fixture(scope="module")
def served(toy_models: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("served")
    Releases(folder).push({name: path / "Format-Serving" for name, path in toy_models.items()})
    ports = process.free_port(), process.free_port()
    flags = parsed(process.server_flags(str(folder), *ports))
    with running_server(**flags, enable_grpc_reflection=True):
        yield ports, folder


def at_ports(text: str, ports: tuple[int, int]) -> str:
    return text.replace("127.0.0.1:8500", f"127.0.0.1:{ports[0]}").replace("127.0.0.1:8501", f"127.0.0.1:{ports[1]}")


def test_python_then_curl(served: Any, tmp_path: pathlib.Path) -> None:
    ports, _ = served
    example, *_ = python_of(GUIDE)
    command = [sys.executable, "-W", "error", "-c", at_ports(example, ports)]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True).stdout
    assert len(shown.splitlines()) == 5

    if not shutil.which("curl"):
        pytest.skip("no curl on PATH")
    answers = [
        json.loads(subprocess.run(shlex.split(at_ports(line, ports)), capture_output=True, cwd=tmp_path).stdout)
        for line in commands("curl")
    ]
    status, metadata, prediction = answers
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    assert "recommend" in metadata["metadata"]["signature_def"]["signature_def"]
    assert prediction["outputs"]["item_ids"][0] == [line.split()[0] for line in shown.splitlines()]


def test_the_stubs_of_tensorflow_serving_get_the_same(served: Any, tmp_path: pathlib.Path) -> None:
    ports, _ = served
    example, by_stubs, _ = python_of(GUIDE)
    command = [sys.executable, "-c", at_ports(example + by_stubs, ports)]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True).stdout
    rows = [(line.split()[0], float(line.split()[1])) for line in shown.splitlines()]
    assert len(rows) == 10 and [row[0] for row in rows[:5]] == [row[0] for row in rows[5:]]
    assert [row[1] for row in rows[:5]] == pytest.approx([row[1] for row in rows[5:]], rel=1e-6)


@pytest.mark.parametrize("line", commands("grpcurl"))
def test_grpcurl(line: str, served: Any) -> None:
    """With the binary, or by the protocol that it speaks: reflection, JSON to message, call, message to JSON."""
    ports, _ = served
    if shutil.which("grpcurl"):
        done = subprocess.run(shlex.split(at_ports(line, ports)), capture_output=True, text=True, check=True)
        answer = json.loads(done.stdout)
    else:
        *_, data, address, method = shlex.split(at_ports(line, ports))
        answer = call_by_reflection(address, method, json.loads(data))
    if "GetModelStatus" in line:
        assert answer["model_version_status"][0]["state"] == "AVAILABLE"
    else:
        assert answer["model_spec"]["name"] == "fused"


def call_by_reflection(address: str, method: str, request: Any) -> Any:
    from google.protobuf import descriptor_pool, json_format, message_factory
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    service_name, _, method_name = method.partition("/")
    with grpc.insecure_channel(address) as channel:
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        found = pool.FindServiceByName(service_name).FindMethodByName(method_name)
        call = channel.unary_unary(
            f"/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(found.output_type).FromString,
        )
        message = json_format.ParseDict(request, message_factory.GetMessageClass(found.input_type)())
        answer = call(message, timeout=20)
        # `metadata` is an Any of a message that JSON can only show when it is known, as here by reflection.
        pool.FindMessageTypeByName("tensorflow.serving.SignatureDefMap")
        return json_format.MessageToDict(answer, preserving_proto_field_name=True, descriptor_pool=pool)


def test_tokens_of_a_query(sample_root: pathlib.Path) -> None:
    *_, example = python_of(GUIDE)
    names: dict[str, Any] = {}
    exec(example.replace("var/sample/root", str(sample_root)), names)  # The guide is ours.
    tokens = names["query_token_ids"]
    assert tokens.dtype == "int32" and tokens.shape[0] == 1 and (tokens > 0).any()


def test_python_of_the_client(served: Any) -> None:
    ports, _ = served
    (example,) = python_of(CLIENT_README)
    command = [sys.executable, "-W", "error", "-c", at_ports(example, ports)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.startswith("1 [[b'")
