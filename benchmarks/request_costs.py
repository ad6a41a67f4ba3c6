"""What the most expensive requests cost the model server, by the byte.

    python -m benchmarks.request_costs --root ROOT

ROOT is that of a finished `homefeed run`. Each request is sent to a server with the flags of `homefeed serve`, one
after the other; memory is the peak above what the server had before, CPU time is the server's. Prints a table.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import http.client
import json
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks import results
from benchmarks._server import Server, serving
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.recommender import FUSED, RANKING
from homefeed.serving.releases import Releases

_MEGABYTE = 2**20
# Just below what is taken: 16 MB.
_LARGE = 15 * _MEGABYTE


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a request cost.

    Attributes:
        size: bytes that were sent; of a packed body as it was unpacked.
        answer: gRPC code or HTTP status.
        memory: bytes, the peak above what the server had before.
        seconds: of CPU.
    """

    name: str
    size: int
    answer: str
    memory: int
    seconds: float

    def row(self) -> str:
        """A row of the table."""
        per_byte = f"{self.memory / self.size:.1f} | {self.seconds / self.size * 1e6:.2f}"
        return (
            f"| {self.name} | {self.size:,} | {self.answer} | {self.memory / _MEGABYTE:.0f} | "
            f"{self.seconds:.2f} | {per_byte} |"
        )


class Attacker:
    """Sends requests to a server and measures it.

    Args:
        server: the process.
    """

    def __init__(self, server: Server):
        import grpc
        import homefeed_client

        self._server = server
        options = [("grpc.max_receive_message_length", -1)]
        self._channel = grpc.insecure_channel(server.address, options)
        self._client = homefeed_client.PredictionClient(server.address)
        self._client.wait_until_available(FUSED, timeout_seconds=120)

    def inputs(self, model: str, signature: str, rows: int = 1) -> dict[str, Any]:
        """An ordinary request: nothing is known of the user, and ten items are asked for."""
        known = {"k": np.full(rows, 10, np.int32)}
        if signature == "rank":
            known = {"candidates": np.full([rows, 100], b"", object)}
            known["retrieval_scores"] = np.zeros([rows, 100], np.float32)
        specs = self._client.metadata(model).signatures[signature]
        return dict(specs.complete({"history": np.full([rows, 1], b"", object)} | known))

    def grpc(self, name: str, model: str, signature: str, inputs: Mapping[str, Any]) -> Cost:
        """Costs of a PredictRequest; values of inputs are arrays or TensorProtos."""
        from homefeed_client import tensors

        from homefeed.serving.model_server.messages import PredictRequest

        request = PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = model, signature
        for alias, value in inputs.items():
            request.inputs[alias].CopyFrom(
                tensors.to_proto(value, typed_fields=True) if isinstance(value, np.ndarray) else value
            )
        return self.call(name, "Predict", request)

    def call(self, name: str, method: str, request: Any) -> Cost:
        """Costs of a request to a method of the prediction service."""
        import grpc

        data = request.SerializeToString()
        call = self._channel.unary_unary(f"/tensorflow.serving.PredictionService/{method}")

        def send() -> str:
            try:
                call(data, timeout=300)
            except grpc.RpcError as error:
                return str(error.code().name)
            return "OK"

        return self._measured(name, len(data), send)

    def rest(self, name: str, body: bytes, *, packed: bool = False) -> Cost:
        """Costs of a POST to `recommend`."""
        data = gzip.compress(body, 9) if packed else body

        def send() -> str:
            connection = http.client.HTTPConnection("127.0.0.1", self._server.rest_port, timeout=300)
            headers = {"Content-Encoding": "gzip"} if packed else {}
            connection.request("POST", f"/v1/models/{FUSED}:predict", data, headers)
            response = connection.getresponse()
            response.read()
            connection.close()
            return str(response.status)

        return self._measured(name, len(body), send)

    def _measured(self, name: str, size: int, send: Callable[[], str]) -> Cost:
        time.sleep(0.5)
        self._server.forget_peak()
        memory, cpu = self._server.megabytes(), self._server.cpu_seconds()
        answer = send()
        peak = self._server.peak_megabytes()
        used = int((peak - memory) * _MEGABYTE)
        return Cost(name, size, answer, used, self._server.cpu_seconds() - cpu)


def costs(attacker: Attacker) -> Iterator[Cost]:
    """Of requests of every kind."""
    recommend = attacker.inputs(FUSED, "recommend")
    attacker.grpc("warm-up", FUSED, "recommend", recommend)
    yield attacker.grpc("an ordinary request", FUSED, "recommend", recommend)
    yield from _graph(attacker, recommend)
    yield from _messages(attacker)
    yield from _json(attacker, recommend)


def _graph(attacker: Attacker, recommend: Mapping[str, Any]) -> Iterator[Cost]:
    def changed(name: str, model: str = FUSED, signature: str = "recommend", **inputs: Any) -> Cost:
        base = recommend if model == FUSED else attacker.inputs(model, signature)
        return attacker.grpc(name, model, signature, base | inputs)

    def wide(inputs: Mapping[str, Any], prefix: str, width: int, fill: bytes = b"") -> dict[str, Any]:
        return {
            alias: np.full([1, width], fill if value.dtype == object else 1, value.dtype)
            for alias, value in inputs.items()
            if (alias == prefix or alias.startswith(f"{prefix}_")) and value.ndim == 2
        }

    events = wide(recommend, "history", 1)
    width = _LARGE // sum(2 if value.dtype == object else 4 for value in events.values())
    yield changed("history, unknown places", **wide(recommend, "history", width))
    yield changed("history, items of nobody", **wide(recommend, "history", width // 4, b"nobody"))
    yield changed("k of two billion", k=np.array([2**31 - 1], np.int32))
    if "query_token_ids" in recommend:
        yield changed("query of 15 MB", query_token_ids=np.full([1, _LARGE], 7, np.int32))
    for alias in recommend:
        if alias.startswith("filter_"):
            yield changed(f"{alias} of 15 MB", **wide(recommend, alias, _LARGE // 2))
    yield changed("all inputs by repeating a value", **_repeated(recommend))
    rows = attacker.inputs(FUSED, "recommend", rows=64)
    yield attacker.grpc("64 users", FUSED, "recommend", rows)
    yield attacker.grpc("65 users", FUSED, "recommend", attacker.inputs(FUSED, "recommend", rows=65))
    many = {
        "candidates": np.full([1, _LARGE // 6], b"", object),
        "retrieval_scores": np.zeros([1, _LARGE // 6], np.float32),
    }
    yield changed("rank: candidates of 15 MB", RANKING, "rank", **many)
    tokens = np.full([1, 1, _LARGE], 7, np.int32)
    yield changed("rank: a text of 15 MB", RANKING, "rank", candidate_token_ids=tokens)


def _repeated(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Histories as long as a value may be repeated, in a few bytes."""
    from homefeed_client import tensors

    protos = {}
    for alias, value in inputs.items():
        if alias == "history" or alias.startswith("history_"):
            proto = tensors.to_proto(value, typed_fields=True)
            proto.tensor_shape.dim[1].size = tensors.MAX_EXPANDED_BYTES // 8
            protos[alias] = proto
    return protos


def _messages(attacker: Attacker) -> Iterator[Cost]:
    """As many small parts as a message of 15 MB holds."""
    from tensorflow_serving.apis import classification_pb2, inference_pb2, predict_pb2, regression_pb2

    inputs = predict_pb2.PredictRequest()
    inputs.model_spec.name = FUSED
    for number in range(_LARGE // 16):
        inputs.inputs[f"{number:x}"].dtype = 1
    yield attacker.call("many small inputs", "Predict", inputs)
    outputs = predict_pb2.PredictRequest(output_filter=[""] * (_LARGE // 2))
    outputs.model_spec.name = FUSED
    yield attacker.call("many outputs", "Predict", outputs)
    for kind, method in (
        (classification_pb2.ClassificationRequest, "Classify"),
        (regression_pb2.RegressionRequest, "Regress"),
    ):
        request = kind()
        request.model_spec.name = FUSED
        example = request.input.example_list.examples.add()
        for number in range(_LARGE // 16):
            example.features.feature[f"{number:x}"].int64_list.value.append(0)
        yield attacker.call(f"{method}: small features", method, request)
        request.input.example_list.ClearField("examples")
        request.input.example_list.examples.extend([type(example)()] * (_LARGE // 2))
        yield attacker.call(f"{method}: empty Examples", method, request)
    tasks = inference_pb2.MultiInferenceRequest(tasks=[inference_pb2.InferenceTask()] * (_LARGE // 2))
    yield attacker.call("MultiInference: empty tasks", "MultiInference", tasks)


def _json(attacker: Attacker, recommend: Mapping[str, Any]) -> Iterator[Cost]:
    def columns(history: str) -> bytes:
        plain = np.vectorize(lambda value: value.decode() if isinstance(value, bytes) else value, otypes=[object])
        inputs = {alias: plain(value).tolist() for alias, value in recommend.items()} | {"history": "?"}
        text = json.dumps({"signature_name": "recommend", "inputs": inputs})
        return text.replace('"?"', history).encode()

    for name, value in {
        "empty lists": "[]",
        "empty objects": "{}",
        "objects": '{"b64":""}',
        "short strings": '"a"',
        "wide letters": '"\N{GRINNING FACE}"',
        "numbers": "12345",
        "floats": "1.5",
    }.items():
        count = _LARGE // (len(value.encode()) + 1)
        yield attacker.rest(f"JSON: {name}", columns("[[" + ",".join([value] * count) + "]]"))
    yield attacker.rest("JSON: keys", columns("{" + ",".join(f'"{n}":0' for n in range(_LARGE // 12)) + "}"))
    yield attacker.rest("JSON: nested", columns("[" * 900 + "]" * 900))
    yield attacker.rest("JSON: one long string", columns('[["' + "a" * _LARGE + '"]]'))
    yield attacker.rest("gzip of 15 MB of empty lists", columns("[" + "[]," * (_LARGE // 3) + "[]]"), packed=True)
    yield attacker.rest("gzip of 256 MB", b" " * 2**28, packed=True)


def main() -> None:
    """Measures and prints the table; the largest figures go to the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("var/movielens-100k/root"))
    parser.add_argument("--dry-run", action="store_true", help="print only")
    options = parser.parse_args()
    print("| request | bytes | answer | MB | CPU s | memory, bytes a byte | CPU, µs a byte |")
    print("|---|--:|---|--:|--:|--:|--:|")
    found = []
    source = Releases(RunRoot(options.root).serving)
    with tempfile.TemporaryDirectory() as folder:
        releases = Releases(folder)
        version = source.stable()
        releases.push({name: pathlib.Path(source.path(name, version)) for name in (FUSED, RANKING)})
        with serving(releases) as server:
            for cost in costs(Attacker(server)):
                found.append(cost)
                print(cost.row(), flush=True)
    large = [cost for cost in found if cost.size >= _MEGABYTE]
    figures = {
        "largest_memory_per_byte": max(cost.memory / cost.size for cost in large),
        "largest_cpu_us_per_byte": max(cost.seconds / cost.size * 1e6 for cost in large),
    }
    if not options.dry_run:
        results.merge("request_costs", {name: round(value, 2) for name, value in figures.items()})


if __name__ == "__main__":
    main()
