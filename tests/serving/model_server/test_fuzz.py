"""Random, truncated, oversized and slow requests: each gets a proper answer, and the server stays well."""

import collections
import concurrent.futures
import http.client
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import homefeed_client
import pytest

from tests.serving.conftest import Models
from tests.serving.servers import Stubs, column, eventually, free_port, predict_request, running_server

# Without HandleReloadConfigRequest: an empty list of models is two bytes, and unloads everything, as it should.
METHODS = [
    "/tensorflow.serving.PredictionService/Predict",
    "/tensorflow.serving.PredictionService/Classify",
    "/tensorflow.serving.PredictionService/Regress",
    "/tensorflow.serving.PredictionService/MultiInference",
    "/tensorflow.serving.PredictionService/GetModelMetadata",
    "/tensorflow.serving.ModelService/GetModelStatus",
]
# What a request that is wrong may end with. UNKNOWN would be an exception that got away.
PROPER = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
}


class Target:
    def __init__(self, grpc_port: int, rest_port: int) -> None:
        self.stubs = Stubs(f"127.0.0.1:{grpc_port}")
        self.rest_port = rest_port

    def is_well(self) -> bool:
        answer = self.stubs.predict("half", {"x": column(2)}).outputs["y"].float_val
        return list(answer) == [3.0] and self.post(b'{"instances": [[2]]}') == 200

    def post(self, body: bytes, path: str = "/v1/models/half:predict") -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=30)
        connection.request("POST", path, body)
        response = connection.getresponse()
        if response.status != 200:
            assert "error" in json.loads(response.read())
        connection.close()
        return response.status


@pytest.fixture(scope="module")
def target(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    base_path: pathlib.Path = tmp_path_factory.mktemp("served") / "half"
    models.publish("half_plus_two", base_path, 1)
    rest_port = free_port()
    with running_server(model_name="half", model_base_path=str(base_path), rest_api_port=rest_port) as server:
        yield Target(server.grpc_port, rest_port)


def mutated(data: bytes, generator: random.Random) -> bytes:
    """Bytes flipped, cut, doubled or thrown away."""
    changed = bytearray(data)
    for _ in range(generator.randint(1, 6)):
        place = generator.randrange(len(changed) or 1)
        kind = generator.randrange(4)
        if kind == 0 and changed:
            changed[place] = generator.randrange(256)
        elif kind == 1:
            del changed[place:]
        elif kind == 2:
            changed[place:place] = generator.randbytes(generator.randint(1, 8))
        else:
            changed += changed[place : place + 20]
    return bytes(changed)


def seeds() -> list[bytes]:
    requests = [
        predict_request("half", {"x": column(1, 2)}),
        predict_request("half", {"words": ["a", "b"]}, signature="shout"),
        predict_request("half", {"a": [[1.0, 2.0]], "b": [[1.0], [2.0]]}, signature="multiply", outputs=("total",)),
    ]
    return [request.SerializeToString() for request in requests]


def fuzz_grpc(target: Target, count: int, seed: int) -> None:
    generator = random.Random(seed)
    calls = {method: target.stubs.channel.unary_unary(method) for method in METHODS}
    valid = seeds()
    codes = set()
    for number in range(count):
        method = METHODS[0] if number % 2 else generator.choice(METHODS)
        data = (
            generator.randbytes(generator.randrange(200))
            if number % 5 == 0
            else mutated(valid[number % 3], generator)
        )
        try:
            calls[method](data, timeout=20)
            codes.add(grpc.StatusCode.OK)
        except grpc.RpcError as error:
            codes.add(error.code())
            if error.code() is grpc.StatusCode.INTERNAL:
                assert error.details() == "Unable to parse request"
            else:
                assert error.code() in PROPER, error
    assert len(codes) >= 3


def fuzz_rest(target: Target, count: int, seed: int) -> None:
    generator = random.Random(seed)
    valid = [
        b'{"instances": [[1.5], [2]]}',
        b'{"signature_name": "shout", "instances": [{"b64": "YQ=="}, "b"]}',
        b'{"signature_name": "multiply", "inputs": {"a": [[1, 2]], "b": [[1], [2]]}}',
    ]
    statuses = set()
    for number in range(count):
        body = (
            generator.randbytes(generator.randrange(100))
            if number % 5 == 0
            else mutated(valid[number % 3], generator)
        )
        method = "predict" if number % 4 else generator.choice(["classify", "regress"])
        statuses.add(target.post(body, f"/v1/models/half:{method}"))
    # Nothing ends in 500: that would be an exception that got away.
    assert statuses <= {200, 400, 404, 501}


def test_grpc_requests_of_any_bytes(target: Target) -> None:
    fuzz_grpc(target, 400, seed=20)
    assert target.is_well()


def test_rest_bodies_of_any_bytes(target: Target) -> None:
    fuzz_rest(target, 300, seed=21)
    assert target.is_well()


@pytest.mark.slow
def test_a_hundred_thousand_requests_leave_a_process_as_it_was(models: Models, tmp_path: pathlib.Path) -> None:
    models.publish("half_plus_two", tmp_path / "half", 1)
    ports = free_port(), free_port()
    process = start_process(*ports, tmp_path / "half")
    try:
        target = Target(*ports)
        fuzz_grpc(target, 5_000, seed=1)
        fuzz_rest(target, 2_000, seed=2)
        before = resident_megabytes(process.pid)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            rounds = [pool.submit(fuzz_grpc, target, 10_000, seed) for seed in range(3, 10)]
            rounds += [pool.submit(fuzz_rest, target, 5_000, seed) for seed in range(10, 15)]
            for one in rounds:
                one.result()
        assert target.is_well() and process.poll() is None
        assert resident_megabytes(process.pid) < before + 100
    finally:
        process.kill()
        process.wait()


def start_process(port: int, rest_port: int, base_path: pathlib.Path) -> subprocess.Popen[bytes]:
    """A server in a process of its own, once it answers."""
    flags = [f"--port={port}", f"--rest_api_port={rest_port}", "--model_name=half", f"--model_base_path={base_path}"]
    command = [sys.executable, "-m", "homefeed.serving.model_server", "--host=127.0.0.1", *flags]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    with homefeed_client.PredictionClient(f"127.0.0.1:{port}") as client:
        client.wait_until_available("half")
    return process


def resident_megabytes(pid: int) -> float:
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_clients_recover_from_a_server_that_was_killed_under_load(models: Models, tmp_path: pathlib.Path) -> None:
    models.publish("half_plus_two", tmp_path / "half", 1)
    ports = free_port(), free_port()
    process = start_process(*ports, tmp_path / "half")
    answers, failures = collections.Counter[int](), []
    stopping = threading.Event()

    def ask(number: int) -> None:
        while not stopping.is_set():
            try:
                client.predict("half", {"x": [[2.0]]}, timeout_seconds=10)
                answers[number] += 1
            except homefeed_client.PredictionError as error:
                failures.append(error)

    with homefeed_client.PredictionClient(f"127.0.0.1:{ports[0]}") as client:
        threads = [threading.Thread(target=ask, args=[number]) for number in range(8)]
        for thread in threads:
            thread.start()
        try:
            eventually(lambda: len(answers) == 8)
            process.kill()
            process.wait()
            process = start_process(*ports, tmp_path / "half")
            answers.clear()
            eventually(lambda: len(answers) == 8)
        finally:
            stopping.set()
            for thread in threads:
                thread.join()
            process.kill()
            process.wait()
    # Who was on the way when it died may be told so, after retries; nobody gets another error, or hangs.
    assert all(isinstance(error, homefeed_client.ServerUnavailableError) for error in failures), failures[0]


@pytest.mark.parametrize("value", [None, {}, [], "", 1, -1, 1e400, [[[[]]]], {"b64": None}, {"x": {"x": {}}}, [None]])
def test_rest_values_of_any_kind_in_any_place(target: Target, value: Any) -> None:
    documents = [
        {"instances": value},
        {"inputs": value},
        {"instances": [value]},
        {"inputs": {"x": value}},
        {"instances": [{"x": value}]},
        {"signature_name": value, "instances": [[1]]},
        {"examples": value},
        {"examples": [value], "context": value},
        {"examples": [{"x": value}]},
    ]
    for document in documents:
        for method in ("predict", "classify"):
            assert target.post(json.dumps(document).encode(), f"/v1/models/half:{method}") in (200, 400)


def test_bytes_that_are_no_http_at_all(target: Target) -> None:
    generator = random.Random(22)
    for data in (
        b"\x00" * 50,
        b"GET",
        b"POST / HTTP/9.9\r\n\r\n",
        generator.randbytes(2000),
        b"A" * 300_000 + b"\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", target.rest_port), timeout=20) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(100)
            except OSError:  # Reset, or closed before we were done.
                continue
            assert not answer or (answer.startswith(b"HTTP/1.") and b" 4" in answer)
    assert target.is_well()


def test_slow_clients_hold_no_worker(target: Target) -> None:
    """More unfinished requests than the server has workers, over both protocols."""
    head = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
    slow = []
    for _ in range(100):
        connection = socket.create_connection(("127.0.0.1", target.rest_port), timeout=20)
        connection.sendall(head)
        slow.append(connection)
    assert target.is_well()
    for connection in slow:
        connection.close()


def test_a_reply_that_nobody_waits_for_does_no_harm(target: Target) -> None:
    request = predict_request("half", {"x": column(1)})
    calls = [target.stubs.prediction.Predict.future(request, timeout=20) for _ in range(50)]
    for call in calls:
        call.cancel()
    threading.Event().wait(0.1)
    assert target.is_well()


def test_names_that_requests_make_up_do_not_stay_in_memory(models: Models, tmp_path: pathlib.Path) -> None:
    from homefeed.serving.model_server.metrics import Counter

    counter = Counter("/c", ["model_name"])
    for number in range(20_000):
        counter.add(f"made-up-{number}")
    assert counter.text().count("made-up") == 10_000

    models.publish("half_plus_two", tmp_path / "half", 1)
    with running_server(model_name="half", model_base_path=str(tmp_path / "half")) as server:
        stubs = Stubs(f"127.0.0.1:{server.grpc_port}")
        for number in range(50):
            with pytest.raises(grpc.RpcError):
                stubs.predict(f"made-up-{number}", {"x": column(1)})
            with pytest.raises(grpc.RpcError):
                stubs.status(f"made-up-{number}")
        manager = server._core._manager
        assert set(manager._harnesses) == set(manager._statuses) == {"half"}
