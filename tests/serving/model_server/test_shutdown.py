"""SIGTERM under load: nobody loses a request that can be asked again, and nothing keeps the process."""

import collections
import concurrent.futures
import contextlib
import http.client
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import homefeed_client
import numpy as np
import pytest

from homefeed.serving.model_server.loading.warmup import RECORDS_FILE, write_records
from homefeed.serving.model_server.messages import PredictionLog
from tests.serving.conftest import Models
from tests.serving.servers import RPC_SECONDS, ServerProcess, column, eventually, predict_request, server_process

NUM_CLIENTS = 16
PREDICT = "/tensorflow.serving.PredictionService/Predict"
BODY = b'{"instances": [[2]]}'


class Load:
    """Clients that never stop asking, each in a thread; every outcome is counted."""

    def __init__(self) -> None:
        self.outcomes: collections.Counter[Any] = collections.Counter()
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def of(self, ask: Callable[[], Any], num_clients: int = NUM_CLIENTS) -> Iterator[None]:
        with concurrent.futures.ThreadPoolExecutor(num_clients) as pool:
            clients = [pool.submit(self._ask_on, ask) for _ in range(num_clients)]
            try:
                yield
            finally:
                self._stopped.set()
        for client in clients:
            client.result()

    def _ask_on(self, ask: Callable[[], Any]) -> None:
        while not self._stopped.is_set():
            outcome = ask()
            with self._lock:
                self.outcomes[outcome] += 1

    def wait_for_more(self, count: int = 200) -> None:
        before = sum(self.outcomes.values())
        eventually(lambda: sum(self.outcomes.values()) >= before + count)


@pytest.fixture(scope="module")
def base_path(models: Models, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    base_path = tmp_path_factory.mktemp("served") / "half"
    models.publish("half_plus_two", base_path, 1)
    return base_path


@pytest.fixture
def make_server(base_path: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[Callable[..., ServerProcess]]:
    with contextlib.ExitStack() as stack:

        def make(**ports: int) -> ServerProcess:
            flags = ("--model_name=half", f"--model_base_path={base_path}", "--enable_batching")
            return stack.enter_context(server_process(tmp_path, *flags, **ports))

        yield make


def test_what_is_asked_meanwhile_may_be_asked_again(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server()
    data = predict_request("half", {"x": column(2)}).SerializeToString()
    with grpc.insecure_channel(server.target, [("grpc.enable_retries", 0)]) as channel:
        call = channel.unary_unary(PREDICT)

        def ask() -> Any:
            try:
                call(data, timeout=RPC_SECONDS)
            except grpc.RpcError as error:
                time.sleep(0.05)
                return error.code()
            return "OK"

        load = Load()
        with load.of(ask):
            load.wait_for_more()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(20) == 0
    assert load.outcomes["OK"] >= 200
    # What gRPC had read and not begun when it stopped is CANCELLED, whatever a server does; most are told before.
    assert load.outcomes[grpc.StatusCode.CANCELLED] <= NUM_CLIENTS / 2
    assert set(load.outcomes) <= {"OK", grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


def test_signals_in_quick_succession_end_it_like_one(make_server: Callable[..., ServerProcess]) -> None:
    """As a supervisor, a shell and Make send them."""
    server = make_server()
    for _ in range(20_000):
        server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0


def test_two_servers_are_restarted_in_turn(make_server: Callable[..., ServerProcess]) -> None:
    servers = [make_server(), make_server()]
    with homefeed_client.PredictionClient([server.target for server in servers]) as client:

        def ask() -> Any:
            try:
                return float(client.predict("half", {"x": [[2.0]]}, timeout_seconds=RPC_SECONDS).outputs["y"][0, 0])
            except homefeed_client.PredictionError as error:
                return str(error)

        load = Load()
        with load.of(ask):
            for server in servers:
                load.wait_for_more()
                server.process.send_signal(signal.SIGTERM)
                assert server.process.wait(20) == 0
                make_server(port=server.port, rest_port=server.rest_port)
            load.wait_for_more()
    assert set(load.outcomes) == {3.0}, load.outcomes


def test_rest_closes_politely(make_server: Callable[..., ServerProcess]) -> None:
    """A client that keeps its connection is told with an answer that it will be closed; none is left without one."""
    server = make_server()
    local = threading.local()

    def ask() -> Any:
        is_new = getattr(local, "connection", None) is None
        if is_new:
            local.connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=RPC_SECONDS)
        try:
            local.connection.request("POST", "/v1/models/half:predict", BODY)
            response = local.connection.getresponse()
            response.read()
        except ConnectionError:
            # There is no port, or nobody took a connection that was made while it closed: that shows when it is made,
            # or after.
            local.connection.close()
            local.connection = None
            time.sleep(0.05)
            return "refused" if is_new else "broken"
        if response.will_close:
            local.connection.close()
            local.connection = None
        return response.status

    load = Load()
    with load.of(ask, 4):
        load.wait_for_more()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
    assert set(load.outcomes) <= {200, "refused"}
    assert load.outcomes[200] >= 200


def test_a_load_that_hangs_does_not_keep_the_process(models: Models, tmp_path: pathlib.Path) -> None:
    version = models.publish("half_plus_two", tmp_path / "half", 1)
    log = PredictionLog()
    log.predict_log.request.ParseFromString(
        predict_request("half", {"limit": np.int64(10**15)}, signature="count").SerializeToString()
    )
    (version / RECORDS_FILE).parent.mkdir()
    write_records(version / RECORDS_FILE, [log])
    flags = ("--model_name=half", f"--model_base_path={tmp_path / 'half'}")
    with server_process(tmp_path, *flags, ready=False) as server:
        eventually(lambda: server.cpu_seconds() > 2)  # It counts.
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(25) == 0
        assert "did not come to its end" in server.log
