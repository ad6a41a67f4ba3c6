"""Clients of a model server, in a process of their own: `run(job)` from the benchmark, `main` in the child."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
import threading
import time
from typing import Any

PREDICT = "/tensorflow.serving.PredictionService/Predict"


@dataclasses.dataclass(frozen=True)
class Job:
    """What the clients do.

    Attributes:
        requests: serialized PredictRequests, sent in turn; they cost the clients next to nothing.
        num_clients: threads, each with one call under way.
        seconds: how long.
        num_channels: connections that the clients share.
    """

    address: str
    requests: list[bytes]
    num_clients: int
    seconds: float
    num_channels: int = 4


@dataclasses.dataclass(frozen=True)
class Load:
    """What the clients saw.

    Attributes:
        latencies: milliseconds of each call that was answered.
        versions: how many answers named which version.
        errors: how many calls failed, by the words of the failure.
    """

    latencies: list[float]
    versions: dict[str, int]
    errors: dict[str, int]


def start(job: Job) -> subprocess.Popen[bytes]:
    """Starts the clients."""
    process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    process.stdin.write(pickle.dumps(dataclasses.asdict(job)))
    process.stdin.close()
    process.stdin = None
    return process


def result(process: subprocess.Popen[bytes]) -> Load:
    """Waits for the clients."""
    output, _ = process.communicate()
    return Load(**json.loads(output))


def run(job: Job) -> Load:
    """Starts the clients and waits for them."""
    return result(start(job))


def main() -> None:
    """Sends requests as the job on standard input says, and prints what came back."""
    import grpc
    from homefeed_client import protos

    job = Job(**pickle.loads(sys.stdin.buffer.read()))
    response_class = protos.message("tensorflow.serving.PredictResponse")
    channels = [
        grpc.insecure_channel(job.address, [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)])
        for _ in range(min(job.num_channels, job.num_clients))
    ]
    latencies: list[float] = []
    versions: dict[str, int] = {}
    errors: dict[str, int] = {}
    lock = threading.Lock()
    end = time.monotonic() + job.seconds

    def client(number: int) -> None:
        call: Any = channels[number % len(channels)].unary_unary(PREDICT)
        place = number
        while time.monotonic() < end:
            begin = time.perf_counter()
            try:
                answer = call(job.requests[place % len(job.requests)], timeout=10)
            except grpc.RpcError as error:
                with lock:
                    words = f"{error.code().name}: {error.details()}"
                    errors[words] = errors.get(words, 0) + 1
                continue
            milliseconds = (time.perf_counter() - begin) * 1000
            version = str(response_class.FromString(answer).model_spec.version.value)
            with lock:
                latencies.append(milliseconds)
                versions[version] = versions.get(version, 0) + 1
            place += job.num_clients

    threads = [threading.Thread(target=client, args=[number]) for number in range(job.num_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(dataclasses.asdict(Load(latencies, versions, errors))))


if __name__ == "__main__":
    main()
