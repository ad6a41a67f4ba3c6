"""The process under the command lines, models and calls that TensorFlow Serving's own integration tests use."""

import json
import pathlib
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from homefeed.serving.process import TENSORFLOW_SERVING
from tests.serving.servers import Stubs, eventually, predict_request

VERSION = "00000123"
_EXAMPLE = {"x": 2.0}
_TF1_SIGNATURES = {
    "serving_default": ("x:0", "y:0"),
    "classify_x_to_y": ("tf_example:0", "y:0"),
    "regress_x_to_y": ("tf_example:0", "y:0"),
    "regress_x_to_y2": ("tf_example:0", "y2:0"),
    "regress_x2_to_y3": ("x2:0", "y3:0"),
}
Start = Callable[..., "Server"]


class Server:
    """A process of ours with the flags of that suite, ready as its test client finds it ready.

    It listens on both families, as the reference does, and all servers of the suite name one Unix socket.
    """

    def __init__(self, engine: str, socket_path: pathlib.Path, *arguments: str) -> None:
        self.port, self.rest_port = _free_port(), _free_port()
        ours = [sys.executable, "-c", "import homefeed.serving.model_server.main as m; raise SystemExit(m.main())"]
        command = ours if engine == "homefeed" else [TENSORFLOW_SERVING]
        ports = [f"--port={self.port}", f"--rest_api_port={self.rest_port}", "--rest_api_timeout_in_ms=5000"]
        self.process = subprocess.Popen(
            [*command, *ports, f"--grpc_socket_path={socket_path}", *arguments], stderr=subprocess.PIPE
        )
        self.stubs = Stubs(f"localhost:{self.port}")

    def wait(self) -> "Server":
        eventually(lambda: "Servable" in self._error_of_a_missing_model(), seconds=60)
        return self

    def _error_of_a_missing_model(self) -> str:
        try:
            self.stubs.predict("intentionally_missing_model", {})
        except grpc.RpcError as error:
            return str(error.details())
        return ""

    def call(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"http://localhost:{self.rest_port}{path}", data, timeout=20) as answer:
            text = answer.read().decode()
        return text if path.endswith("metrics") else json.loads(text)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def _free_port() -> int:
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _save_tf1(tf: Any, path: pathlib.Path, asset: pathlib.Path) -> None:
    """y = x / 2 + 2, y2 = x / 2 + 3, y3 = x2 / 2 + 3 over parsed Examples: ref variables, an asset, a main op."""
    tf1 = tf.compat.v1
    with tf.Graph().as_default(), tf1.Session() as session, tf1.device("/cpu:0"):
        a, b, c = (
            tf1.Variable(value, use_resource=False, name=name)
            for name, value in {"a": 0.5, "b": 2.0, "c": 3.0}.items()
        )
        serialized = tf1.placeholder(tf.string, name="tf_example")
        features = {
            "x": tf1.FixedLenFeature([1], tf.float32),
            "x2": tf1.FixedLenFeature([1], tf.float32, default_value=[0.0]),
        }
        parsed = tf1.parse_example(serialized, features)
        x, x2 = (tf.ensure_shape(parsed[name], [None, 1], name=name) for name in ("x", "x2"))
        for name, value in {"y": a * x + b, "y2": a * x + c, "y3": a * x2 + c}.items():
            tf.identity(value, name=name)
        asset.write_text("contents", encoding="utf-8")
        tf1.add_to_collection(tf1.GraphKeys.ASSET_FILEPATHS, tf.constant(str(asset)))
        file_name = tf1.Variable(asset.name, name="filename_tensor", trainable=False, collections=[])
        main_op = tf.group(file_name.assign(asset.name))
        session.run(tf1.global_variables_initializer())
        builder = tf1.saved_model.builder.SavedModelBuilder(str(path))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            signature_def_map={name: _tf1_signature(tf1, name, *ends) for name, ends in _TF1_SIGNATURES.items()},
            assets_collection=tf1.get_collection(tf1.GraphKeys.ASSET_FILEPATHS),
            main_op=main_op,
        )
        builder.save()


def _tf1_signature(tf1: Any, name: str, input_name: str, output_name: str) -> Any:
    method = name.split("_")[0].replace("serving", "predict")
    aliases = {"predict": ("x", "y"), "classify": ("inputs", "scores"), "regress": ("inputs", "outputs")}[method]
    graph = tf1.get_default_graph()
    inputs, outputs = (
        {alias: tf1.saved_model.utils.build_tensor_info(graph.get_tensor_by_name(tensor))}
        for alias, tensor in zip(aliases, (input_name, output_name), strict=True)
    )
    return tf1.saved_model.signature_def_utils.build_signature_def(inputs, outputs, f"tensorflow/serving/{method}")


def _save_tf2(tf: Any, path: pathlib.Path) -> None:
    """The same saved by TensorFlow 2, where every method_name is `predict`."""
    root = tf.train.Checkpoint(a=tf.Variable(0.5), b=tf.Variable(2.0))

    def over_examples(output: str) -> Any:
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
        def call(inputs: Any) -> Any:
            parsed = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([1], tf.float32)})
            return {output: root.a * parsed["x"] + root.b}

        return call

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    def predict(x: Any) -> Any:
        return {"y": root.a * x + root.b}

    signatures = {
        "serving_default": predict,
        "classify_x_to_y": over_examples("scores"),
        "regress_x_to_y": over_examples("outputs"),
    }
    root.functions = list(signatures.values())
    tf.saved_model.save(root, str(path), signatures=signatures)


@pytest.fixture(scope="module")
def testdata(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("testdata")
    _save_tf1(tf, folder / "saved_model_half_plus_two_cpu" / VERSION, folder / "foo.txt")
    _save_tf2(tf, folder / "saved_model_half_plus_two_tf2_cpu" / VERSION)
    (folder / "batching_config.txt").write_text(
        "max_batch_size { value: 128 }\nbatch_timeout_micros { value: 0 }\nmax_enqueued_batches { value: 1000000 }\n"
        "num_batch_threads { value: 8 }\n",
        encoding="utf-8",
    )
    (folder / "monitoring_config.txt").write_text(
        'prometheus_config: {\n  enable: true,\n  path: "/monitoring/prometheus/metrics"\n}\n', encoding="utf-8"
    )
    return folder


@pytest.fixture(scope="module", params=["homefeed", "tensorflow-serving"])
def start(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    if request.param != "homefeed" and not shutil.which(TENSORFLOW_SERVING):
        pytest.skip(f"no {TENSORFLOW_SERVING} on PATH")
    socket_path = tmp_path_factory.mktemp("socket") / "grpc.sock"
    servers: list[Server] = []

    def run(*arguments: str) -> Server:
        servers.append(Server(request.param, socket_path, *arguments))
        return servers[-1]

    yield run
    for server in servers:
        server.kill()


@pytest.fixture(scope="module", params=["cpu", "tf2_cpu"])
def server(start: Start, testdata: pathlib.Path, request: pytest.FixtureRequest) -> Server:
    """Both models under their flags; the second server also has those that change nothing here."""
    base_path = testdata / f"saved_model_half_plus_two_{request.param}"
    arguments = [
        "--model_name=default",
        f"--model_base_path={base_path}",
        f"--monitoring_config_file={testdata / 'monitoring_config.txt'}",
    ]
    if request.param != "cpu":
        arguments += [
            "--enable_batching",
            f"--batching_parameters_file={testdata / 'batching_config.txt'}",
            "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb",
            "--use_tflite_model=false",
            "--tensorflow_session_parallelism=2",
            "--flush_filesystem_caches=false",
            "--remove_unused_fields_from_bundle_metagraph=true",
        ]
    return start(*arguments).wait()


def examples_request(module: str, kind: str) -> Any:
    import importlib

    request = getattr(importlib.import_module(f"tensorflow_serving.apis.{module}_pb2"), kind)()
    request.input.example_list.examples.add().features.feature["x"].float_list.value.append(2.0)
    return request


def assert_spec(spec: Any, signature: str) -> None:
    assert (spec.name, spec.signature_name, spec.version.value) == ("default", signature, 123)


@pytest.mark.parametrize("outputs", [(), ("y",)])
def test_predict(server: Server, outputs: tuple[str, ...]) -> None:
    request = predict_request("default", {}, signature="serving_default", outputs=outputs)
    request.inputs["x"].dtype = 1
    request.inputs["x"].float_val.append(2.0)
    request.inputs["x"].tensor_shape.dim.add().size = 1  # Not the declared [-1, 1]: the graph decides.
    response = server.stubs.prediction.Predict(request, 20)
    assert (response.outputs["y"].dtype, list(response.outputs["y"].float_val)) == (1, [3.0])
    assert_spec(response.model_spec, "serving_default")


def test_the_socket_answers_too(server: Server, start: Start) -> None:
    # The server that came last has it; the ones before lost it, as with the reference.
    (argument,) = (str(a) for a in server.process.args if str(a).startswith("--grpc_socket_path"))
    response = Stubs(f"unix:{argument.partition('=')[2]}").predict("default", {"x": np.float32([2.0])})
    assert list(response.outputs["y"].float_val) == [3.0]


def test_classify_regress_and_multi_inference(server: Server) -> None:
    request = examples_request("classification", "ClassificationRequest")
    request.model_spec.name, request.model_spec.signature_name = "default", "classify_x_to_y"
    classified = server.stubs.prediction.Classify(request, 20)
    (classification,) = classified.result.classifications
    assert [entry.score for entry in classification.classes] == [3.0]
    assert_spec(classified.model_spec, "classify_x_to_y")

    request = examples_request("regression", "RegressionRequest")
    request.model_spec.name, request.model_spec.signature_name = "default", "regress_x_to_y"
    regressed = server.stubs.prediction.Regress(request, 20)
    assert [entry.value for entry in regressed.result.regressions] == [3.0]
    assert_spec(regressed.model_spec, "regress_x_to_y")

    request = examples_request("inference", "MultiInferenceRequest")
    for method in ("regress", "classify"):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = "default", f"{method}_x_to_y"
    results = server.stubs.prediction.MultiInference(request, 20).results
    assert results[0].regression_result.regressions[0].value == 3.0
    assert results[1].classification_result.classifications[0].classes[0].score == 3.0
    for task, result in zip(request.tasks, results, strict=True):
        assert_spec(result.model_spec, task.model_spec.signature_name)


def test_status_and_metadata(server: Server) -> None:
    from tensorflow_serving.apis import get_model_metadata_pb2

    (status,) = server.stubs.status("default").model_version_status
    assert (status.version, status.status.error_code) == (123, 0)
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "default"
    response = server.stubs.prediction.GetModelMetadata(request, 20)
    assert (response.model_spec.name, response.model_spec.version.value) == ("default", 123)
    assert list(response.metadata) == ["signature_def"]


def test_rest(server: Server) -> None:
    model = "/v1/models/default"
    assert server.call(f"{model}:predict", {"instances": [2.0, 3.0, 4.0]}) == {"predictions": [3.0, 3.5, 4.0]}
    assert server.call(f"{model}:predict", {"inputs": [2.0, 3.0, 4.0]}) == {"outputs": [3.0, 3.5, 4.0]}
    body = {"signature_name": "classify_x_to_y", "examples": [_EXAMPLE]}
    assert server.call(f"{model}:classify", body) == {"results": [[["", 3.0]]]}
    body = {"signature_name": "regress_x_to_y", "examples": [_EXAMPLE]}
    assert server.call(f"{model}:regress", body) == {"results": [3.0]}
    ok = {"error_code": "OK", "error_message": ""}
    assert server.call(model) == {"model_version_status": [{"version": "123", "state": "AVAILABLE", "status": ok}]}
    assert "# TYPE" in server.call("/monitoring/prometheus/metrics")


def test_rest_metadata_writes_every_field(start: Start, testdata: pathlib.Path) -> None:
    base_path = testdata / "saved_model_half_plus_two_cpu"
    server = start("--model_name=default", f"--model_base_path={base_path}").wait()
    answer = server.call("/v1/models/default/metadata")
    assert answer["model_spec"] == {"name": "default", "signature_name": "", "version": "123"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert signatures.keys() >= _TF1_SIGNATURES.keys()
    column = {"dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}], "unknown_rank": False}
    assert signatures["classify_x_to_y"] == {
        "inputs": {
            "inputs": {
                "dtype": "DT_STRING",
                "tensor_shape": {"dim": [], "unknown_rank": True},
                "name": "tf_example:0",
            }
        },
        "outputs": {"scores": {"dtype": "DT_FLOAT", "tensor_shape": column, "name": "y:0"}},
        "method_name": "tensorflow/serving/classify",
        "defaults": {},
    }


def test_a_broken_config_is_told_on_stderr_and_ends_the_process(start: Start, tmp_path: pathlib.Path) -> None:
    config = tmp_path / "bad_model_config.txt"
    config.write_text("improperly formatted file", encoding="utf-8")
    server = start(f"--model_config_file={config}")
    _, errors = server.process.communicate(timeout=60)
    assert b"Error parsing text-format tensorflow.serving.ModelServerConfig" in errors


@pytest.mark.parametrize("seconds", [0, 1])
def test_the_config_file_is_polled_when_asked_for(
    seconds: int, start: Start, testdata: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    def write(name: str, folder: str) -> None:
        entry = f'name: "{name}",\n base_path: "{testdata / folder}",\n model_platform: "tensorflow"'
        config.write_text(f"\nmodel_config_list: {{\n config: {{\n {entry}\n }}\n}}\n", encoding="utf-8")

    def version(name: str) -> int | None:
        try:
            return int(server.stubs.predict(name, {"x": np.float32([2.0])}).model_spec.version.value)
        except grpc.RpcError:
            return None

    config = tmp_path / "model_config.txt"
    write("first", "saved_model_half_plus_two_cpu")
    arguments = (f"--model_config_file={config}", f"--model_config_file_poll_wait_seconds={seconds}")
    server = start(*arguments).wait()
    assert version("first") == 123
    write("second", "saved_model_half_plus_two_tf2_cpu")
    if seconds:
        eventually(lambda: version("second") == 123 and version("first") is None)
    else:
        assert version("second") is None and version("first") == 123
