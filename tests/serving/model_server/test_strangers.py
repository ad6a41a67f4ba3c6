"""Connections and requests that come to nothing: idle, dripping, never read; the server answers all the same."""

import contextlib
import http.client
import json
import pathlib
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import grpc
import pytest

from homefeed.serving.model_server.api import asgi, grpc_calls, http_server
from tests.serving.conftest import Models
from tests.serving.servers import (
    ServerProcess,
    Stubs,
    column,
    eventually,
    fails,
    free_port,
    running_server,
    server_process,
)

PREDICT = "/tensorflow.serving.PredictionService/Predict"
HEAD = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n"
BODY = b'{"inputs": [[2]]}'


@pytest.fixture(scope="module")
def base_path(models: Models, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("served") / "half"
    models.publish("half_plus_two", folder, 1)
    return folder


@pytest.fixture
def server(base_path: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[ServerProcess]:
    def has_rest() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", process.rest_port), timeout=1):
            return True
        return False

    with server_process(tmp_path, "--model_name=half", f"--model_base_path={base_path}") as process:
        eventually(has_rest)  # It opens behind gRPC's port.
        yield process


def rest_answer(port: int, seconds: float = 5.0) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/models/half:predict", BODY)
        return connection.getresponse().read()


def is_well(server: ServerProcess) -> bool:
    """Both ports answer new clients at once."""
    begin = time.monotonic()
    assert list(Stubs(server.target).predict("half", {"x": column(2)}).outputs["y"].float_val) == [3.0]
    assert rest_answer(server.rest_port) == b'{"outputs": [[3.0]]}'
    assert server.process.poll() is None
    return time.monotonic() - begin < 5


@contextlib.contextmanager
def connections(port: int, count: int, data: bytes = b"") -> Iterator[list[socket.socket]]:
    opened = []
    try:
        for _ in range(count):
            opened.append(socket.create_connection(("127.0.0.1", port), timeout=20))
            if data:
                opened[-1].sendall(data)
        yield opened
    finally:
        for connection in opened:
            connection.close()


def test_idle_connections_on_both_ports(server: ServerProcess) -> None:
    at_rest = server.resident_megabytes()
    with connections(server.port, 1100), connections(server.rest_port, 1100):
        assert is_well(server)
        assert server.resident_megabytes() < 2 * at_rest
    assert is_well(server)


def test_idle_connections_where_the_process_may_open_few_files(
    base_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with server_process(tmp_path, "--model_name=half", f"--model_base_path={base_path}", file_limit=1024) as server:
        with connections(server.rest_port, 1100):
            assert is_well(server)
        with connections(server.port, 1100):
            assert rest_answer(server.rest_port)

        def answers() -> bool:
            with contextlib.suppress(grpc.RpcError):  # Refused as long as there is no file left.
                return bool(Stubs(server.target).predict("half", {"x": column(2)}).outputs["y"].float_val)
            return False

        eventually(answers)  # Who opens a connection and says nothing is let go of after ten seconds.
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits


@pytest.mark.parametrize("data", [b"POST /v1/mod", HEAD, HEAD + BODY[:3]], ids=["head", "no_body", "half_a_body"])
def test_more_unfinished_requests_than_there_are_connections(server: ServerProcess, data: bytes) -> None:
    with connections(server.rest_port, http_server.MAX_CONNECTIONS + 200, data) as opened:
        assert is_well(server)
        # Also while they drip; who was let go of sees an end.
        for connection in opened:
            with contextlib.suppress(OSError):
                connection.sendall(b"x")
        assert is_well(server)


def test_more_calls_without_a_message_than_there_are_threads(server: ServerProcess) -> None:
    release = threading.Event()

    def never() -> Iterator[bytes]:
        release.wait()
        yield b""

    channel = grpc.insecure_channel(server.target)
    calls = [channel.stream_unary(PREDICT).future(never(), timeout=60) for _ in range(200)]
    try:
        eventually(lambda: threading.active_count() > 200)
        assert is_well(server)
    finally:
        release.set()
        for call in calls:
            call.cancel()
        channel.close()


def test_a_request_has_a_time_to_come_in(base_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "RECEIVE_SECONDS", 0.3)
    monkeypatch.setattr(grpc_calls, "RECEIVE_SECONDS", 0.3)
    monkeypatch.setattr(http_server, "_IDLE_SECONDS", 0.5)
    release = threading.Event()

    def never() -> Iterator[bytes]:
        release.wait()
        yield b""

    rest_port = free_port()
    with running_server(model_name="half", model_base_path=str(base_path), rest_api_port=rest_port) as server:
        with connections(rest_port, 1, HEAD) as (connection,):
            answer = connection.makefile("rb").read()
            assert b" 408 " in answer and b"connection: close" in answer.lower()
            assert b"did not come in time" in answer
        # A head that drips has no longer than one that does not come.
        with connections(rest_port, 1) as (connection,):
            begin = time.monotonic()
            with contextlib.suppress(OSError):
                while connection.send(b"G") and time.monotonic() < begin + 5:
                    time.sleep(0.05)
            assert time.monotonic() - begin < 2
        channel = Stubs(f"127.0.0.1:{server.grpc_port}").channel
        with fails(grpc.StatusCode.CANCELLED):
            channel.stream_unary(PREDICT)(never(), timeout=20)
        release.set()


def test_an_answer_that_nobody_reads_is_let_go_of(base_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_IDLE_SECONDS", 0.5)
    rest_port = free_port()
    # 1,500 x 1,500 numbers.
    inputs = {"a": [[1, 1]] * 1500, "b": [[1] * 1500] * 2}
    body = json.dumps({"signature_name": "multiply", "inputs": inputs}).encode()
    with running_server(model_name="half", model_base_path=str(base_path), rest_api_port=rest_port) as server:
        rest = server._network._rest
        assert rest
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", rest_port))
            connection.sendall(HEAD.replace(b" 17", b" %d" % len(body)) + body)
            open_connections = rest._server.server_state.connections
            eventually(lambda: open_connections)
            eventually(lambda: not open_connections)
        assert rest_answer(rest_port)


def test_who_said_all_still_gets_the_answer(server: ServerProcess) -> None:
    with connections(server.rest_port, 1, HEAD + BODY) as (connection,):
        connection.shutdown(socket.SHUT_WR)
        assert connection.makefile("rb").read().endswith(b'{"outputs": [[3.0]]}')


@pytest.mark.parametrize(
    "victim",
    [
        "homefeed.serving.model_server.loading.manager.Manager._manage",
        "homefeed.serving.model_server.core.ServerCore._poll_file_system",
        "homefeed.serving.model_server.api.grpc_calls.CallWatch._watch",
        "uvicorn.Server.serve",
    ],
)
def test_the_process_ends_with_each_of_its_threads(base_path: pathlib.Path, victim: str) -> None:
    """Whatever breaks a thread: a server that is there for half of the requests is worse than none."""
    code = (
        "import sys, unittest.mock\n"
        "def break_down(*_): raise RuntimeError('broken')\n"
        f"with unittest.mock.patch({victim!r}, break_down):\n"
        "    from homefeed.serving.model_server.main import main\n"
        "    sys.exit(main())\n"
    )
    flags = [f"--port={free_port()}", f"--rest_api_port={free_port()}", "--model_name=half"]
    command = [sys.executable, "-c", code, *flags, f"--model_base_path={base_path}", "--host=127.0.0.1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1, ended.stderr
    assert "broken" in ended.stderr
