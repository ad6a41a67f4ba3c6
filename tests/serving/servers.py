"""Starts model servers in this process, and calls them as any user of TensorFlow Serving does."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
import numpy as np
import pytest

from homefeed.serving.model_server.flags import Flags
from homefeed.serving.model_server.server import ModelServer

RPC_SECONDS = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_server(**flags: Any) -> Iterator[ModelServer]:
    """A model server in this process; `flags` as on the command line, but quick to look and to retry."""
    quick = {
        "port": free_port(),
        "host": "127.0.0.1",
        "file_system_poll_wait_seconds": 0.1,
        "load_retry_interval_micros": 50_000,
    }
    server = ModelServer(Flags(**(quick | flags)))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@dataclasses.dataclass
class ServerProcess:
    """A model server in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int
    rest_port: int
    log_file: pathlib.Path

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def resident_megabytes(self) -> float:
        pages = int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu_seconds(self) -> float:
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_until_ready(self, seconds: float = 60.0) -> ServerProcess:
        """The ports open once every model is available."""

        def answers() -> bool:
            assert self.process.poll() is None, self.log
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
            return False

        eventually(answers, seconds)
        return self


@contextlib.contextmanager
def server_process(
    folder: pathlib.Path,
    *arguments: str,
    ready: bool = True,
    cwd: pathlib.Path | None = None,
    file_limit: int | None = None,
) -> Iterator[ServerProcess]:
    """Runs a model server as a stranger meets it; it is killed at the end.

    Args:
        folder: where its log goes.
        arguments: flags beside the ports.
        ready: wait until it answers.
        cwd: its working directory.
        file_limit: how many files and connections the system lets it open.
    """
    limited = ["prlimit", f"--nofile={file_limit}:{file_limit}"] if file_limit else []
    port, rest_port = free_port(), free_port()
    flags = [f"--port={port}", f"--rest_api_port={rest_port}", "--host=127.0.0.1", *arguments]
    log_file = folder / f"server-{port}.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*limited, sys.executable, "-P", "-m", "homefeed.serving.model_server", *flags],
            stdout=log,
            stderr=log,
            cwd=cwd,
        )
    server = ServerProcess(process, port, rest_port, log_file)
    try:
        yield server.wait_until_ready() if ready else server
    finally:
        process.kill()
        process.wait()


def eventually(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Waits until a condition holds and returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)
    return value


def column(*values: float) -> np.ndarray[Any, Any]:
    """A [n, 1] float32 array."""
    return np.array(values, np.float32).reshape(-1, 1)


class Stubs:
    """The stubs and messages of `tensorflow-serving-api`, which none of our code uses.

    Args:
        target: where the server is; or the channel to it.
    """

    def __init__(self, target: str | grpc.Channel) -> None:
        from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            # Connections that failed before must not make this one wait.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        self.channel = grpc.insecure_channel(target, options) if isinstance(target, str) else target
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def predict(self, name: str, inputs: Mapping[str, Any], **spec: Any) -> Any:
        """Sends a Predict request; `spec` as of `predict_request`."""
        return self.prediction.Predict(predict_request(name, inputs, **spec), timeout=RPC_SECONDS)

    def status(self, name: str, version: int | None = None) -> Any:
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        return self.model.GetModelStatus(request, timeout=RPC_SECONDS)

    def states(self, name: str) -> dict[int, str]:
        """State by version, highest version first."""
        from tensorflow_serving.apis import get_model_status_pb2

        names = get_model_status_pb2.ModelVersionStatus.State.Name
        return {entry.version: names(entry.state) for entry in self.status(name).model_version_status}


def predict_request(
    name: str,
    inputs: Mapping[str, Any],
    *,
    signature: str = "",
    version: int | None = None,
    label: str = "",
    outputs: tuple[str, ...] = (),
) -> Any:
    """A PredictRequest of `tensorflow-serving-api`."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    request.output_filter.extend(outputs)
    return request


def values(response: Any) -> dict[str, np.ndarray[Any, Any]]:
    """The outputs of a PredictResponse as arrays."""
    import tensorflow as tf

    return {alias: tf.make_ndarray(proto) for alias, proto in response.outputs.items()}


@contextlib.contextmanager
def fails(code: grpc.StatusCode, *parts: str) -> Iterator[None]:
    """Expects an RPC to fail with a code and with words that hold each part."""
    with pytest.raises(grpc.RpcError) as raised:
        yield
    assert raised.value.code() is code, raised.value
    for part in parts:
        assert part in raised.value.details()
