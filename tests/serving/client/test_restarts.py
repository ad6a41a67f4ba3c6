"""Servers that are restarted one after the other under load: no caller notices."""

import collections
import concurrent.futures
import contextlib
import pathlib
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from homefeed_client import PredictionClient, PredictionError

from tests.serving.conftest import Models
from tests.serving.servers import ServerProcess, eventually, free_port, server_process

NUM_CALLERS = 64


@contextlib.contextmanager
def server_at(port: int, folder: pathlib.Path) -> Iterator[ServerProcess]:
    """Listens on this port, so that a caller finds it where its predecessor was."""
    flags = ["--model_name=half", f"--model_base_path={folder / 'half'}", "--enable_batching", f"--port={port}"]
    with server_process(folder, *flags, ready=False) as server:
        server.port = port
        yield server.wait_until_ready()


@contextlib.contextmanager
def callers(client: PredictionClient) -> Iterator[collections.Counter[str]]:
    """Threads that call without a pause; gives what became of their calls."""
    outcomes: collections.Counter[str] = collections.Counter()
    stop = threading.Event()

    def call(number: int) -> None:
        while not stop.is_set():
            try:
                y = client.predict("half", {"x": [[number]]}).outputs["y"][0, 0]
                outcomes["right" if y == number / 2 + 2 else f"wrong: {y}"] += 1
            except PredictionError as error:
                outcomes[str(error)] += 1

    with concurrent.futures.ThreadPoolExecutor(NUM_CALLERS) as pool:
        calls = [pool.submit(call, number) for number in range(NUM_CALLERS)]
        try:
            yield outcomes
        finally:
            stop.set()
        for done in calls:
            done.result()


def terminate(server: ServerProcess) -> None:
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0


@pytest.fixture
def folder(models: Models, tmp_path: pathlib.Path) -> pathlib.Path:
    models.publish("half_plus_two", tmp_path / "half", 1)
    return tmp_path


def test_two_servers_restarted_in_turn_lose_no_call(folder: pathlib.Path) -> None:
    ports = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(server_at(port, folder)) for port in ports]
        targets = [server.target for server in servers]
        client = stack.enter_context(PredictionClient(targets, timeout_seconds=20))
        with callers(client) as outcomes:
            eventually(lambda: outcomes["right"] > 500)
            for server, port in zip(servers, ports, strict=True):
                terminate(server)
                time.sleep(1)
                stack.enter_context(server_at(port, folder))
                seen = outcomes["right"]
                eventually(lambda seen=seen: outcomes["right"] > seen + 500)
    assert dict(outcomes) == {"right": outcomes["right"]}


def test_one_server_restarted_is_waited_for(folder: pathlib.Path) -> None:
    """Five tries take up to 4 seconds, less than a start: the ports stay closed until then, and the rest is said."""
    port = free_port()
    with PredictionClient(f"127.0.0.1:{port}", timeout_seconds=20) as client:
        with server_at(port, folder) as server:
            client.wait_until_available("half")
            terminate(server)
            with pytest.raises(PredictionError, match="nothing listens there"):
                client.predict("half", {"x": [[2]]})
        with server_at(port, folder):
            assert client.wait_until_available("half") == 1
