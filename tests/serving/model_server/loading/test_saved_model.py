"""Between a version's folder and its first request: warm-up records, and folders that are refused."""

import os
import pathlib
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import prediction_log_pb2

from homefeed.serving.model_server.errors import Code, StatusError
from homefeed.serving.model_server.loading import safety, servable, warmup
from homefeed.serving.model_server.metrics import Metrics
from tests.serving.conftest import Models
from tests.serving.servers import Stubs, column, eventually, predict_request, running_server


def predict_log(signature: str = "serving_default", **inputs: Any) -> Any:
    log = prediction_log_pb2.PredictionLog()
    # Neither the name nor the version of a record matters.
    request = predict_request("another", inputs or {"x": column(1)}, signature=signature, version=99)
    log.predict_log.request.CopyFrom(request)
    return log


def with_warmup(models: Models, base_path: pathlib.Path, name: str, data: bytes) -> pathlib.Path:
    version = models.publish(name, base_path, 1)
    (version / "assets.extra").mkdir()
    (version / warmup.RECORDS_FILE).write_bytes(data)
    return version


def records(tf: Any, tmp_path: pathlib.Path, *logs: Any) -> bytes:
    """Written by TensorFlow, so that our reader is held to its format."""
    path = tmp_path / "records"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log if isinstance(log, bytes) else log.SerializeToString())
    return path.read_bytes()


def load_and_warm_up(version: pathlib.Path, iterations: int = 1) -> Metrics:
    metrics = Metrics()
    loaded = servable.load("m", 1, version)
    try:
        warmup.warm_up(loaded, metrics, iterations)
    finally:
        loaded.close()
    return metrics


def test_every_kind_of_record_is_run(tf: Any, models: Models, tmp_path: pathlib.Path) -> None:
    logs = []
    for kind, signature in (("classify_log", "classify_x_to_y"), ("regress_log", "regress_x_to_y")):
        log = prediction_log_pb2.PredictionLog()
        request = getattr(log, kind).request
        request.model_spec.signature_name = signature
        request.input.example_list.examples.add().features.feature["x"].float_list.value.append(1)
        logs.append(log)
    log = prediction_log_pb2.PredictionLog()
    log.multi_inference_log.request.input.CopyFrom(logs[0].classify_log.request.input)
    task = log.multi_inference_log.request.tasks.add(method_name="tensorflow/serving/regress")
    task.model_spec.signature_name = "regress_x_to_y"
    logs += [log, predict_log(x=np.float32(1)), prediction_log_pb2.PredictionLog()]

    version = with_warmup(models, tmp_path / "m", "tf1", records(tf, tmp_path, *logs))
    text = load_and_warm_up(version, iterations=2).model_warmup_latency.text()
    assert f'model_warmup_latency_count{{model_path="{version}",status="OK"}} 1' in text


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda write: write(predict_log("nope")), Code.FAILED_PRECONDITION, '"nope" not found'),
        (lambda write: write(b"\xff\xff"), Code.INVALID_ARGUMENT, "Failed to parse warmup record"),
        (lambda write: b"no records at all", Code.DATA_LOSS, "Please verify your warmup data is in TFRecord format."),
        (lambda write: write(predict_log())[:-3], Code.DATA_LOSS, "TFRecord format"),
        (lambda write: write(*[b""] * 1001), Code.INVALID_ARGUMENT, "exceeds the maximum (1000)"),
        (
            lambda write: write(prediction_log_pb2.PredictionLog(session_run_log={})),
            Code.UNIMPLEMENTED,
            "session_run_log",
        ),
        (
            lambda write: write(prediction_log_pb2.PredictionLog(predict_streamed_log={})),
            Code.UNIMPLEMENTED,
            "predict_streamed_log",
        ),
    ],
)
def test_a_record_that_fails_fails_the_load(
    tf: Any, models: Models, tmp_path: pathlib.Path, make: Any, code: Code, words: str
) -> None:
    data = make(lambda *logs: records(tf, tmp_path, *logs))
    version = with_warmup(models, tmp_path / "m", "half_plus_two", data)
    with pytest.raises(StatusError) as raised:
        load_and_warm_up(version)
    assert raised.value.code is code
    assert words in raised.value.message


def test_our_writer_writes_what_tensorflow_reads(tf: Any, tmp_path: pathlib.Path) -> None:
    logs = [predict_log(), predict_log("shout", words=["a"])]
    warmup.write_records(tmp_path / "ours", logs)
    assert (tmp_path / "ours").read_bytes() == records(tf, tmp_path, *logs)


def test_a_version_whose_warm_up_fails_is_not_served_unless_warm_up_is_off(
    tf: Any, models: Models, tmp_path: pathlib.Path
) -> None:
    with_warmup(models, tmp_path / "half", "half_plus_two", records(tf, tmp_path, predict_log("nope")))
    flags = {"model_name": "half", "model_base_path": str(tmp_path / "half"), "max_num_load_retries": 1}
    with pytest.raises(StatusError, match='"nope" not found'), running_server(**flags):
        pass
    with running_server(**flags, enable_model_warmup=False) as server:
        Stubs(f"127.0.0.1:{server.grpc_port}").predict("half", {"x": column(1)})


def test_links_out_of_the_base_path_are_refused(models: Models, tmp_path: pathlib.Path) -> None:
    base_path = tmp_path / "half"
    models.publish("half_plus_two", base_path, 1)
    outside = models.publish("half_plus_two", tmp_path / "elsewhere", 1)

    (base_path / "2").symlink_to(outside)
    version = models.publish("half_plus_two", base_path, 3)
    (version / "assets" / "passwd").symlink_to("/etc/passwd")
    inside = base_path / "4"
    inside.symlink_to("1")
    for number in (2, 3):
        with pytest.raises(StatusError, match="is a link that leads out of") as raised:
            safety.check(base_path / str(number), base_path)
        assert raised.value.code is Code.PERMISSION_DENIED
    safety.check(inside, base_path)


def test_a_pipe_in_a_folder_is_refused_before_anybody_waits_for_it(models: Models, tmp_path: pathlib.Path) -> None:
    version = models.publish("half_plus_two", tmp_path, 1)
    (version / "saved_model.pb").unlink()
    os.mkfifo(version / "saved_model.pb")
    with pytest.raises(StatusError, match="is neither a file nor a folder"):
        safety.check(version, tmp_path)


def test_a_model_in_chunks_is_refused(models: Models, tmp_path: pathlib.Path) -> None:
    version = models.publish("half_plus_two", tmp_path, 1)
    (version / "saved_model.pb").rename(version / "saved_model.cpb")
    with pytest.raises(StatusError, match="in chunks"):
        safety.check(version, tmp_path)


def test_a_graph_that_opens_files_is_refused_unless_allowed(tf: Any, tmp_path: pathlib.Path) -> None:
    module = tf.Module()
    module.read = tf.function(
        lambda path: {"text": tf.io.read_file(path)}, input_signature=[tf.TensorSpec([], tf.string, name="path")]
    )
    tf.saved_model.save(module, str(tmp_path / "m" / "1"), signatures=module.read)
    with pytest.raises(StatusError, match="not on the list of harmless ones: ReadFile") as raised:
        safety.check(tmp_path / "m" / "1", tmp_path / "m")
    assert raised.value.code is Code.PERMISSION_DENIED
    safety.check(tmp_path / "m" / "1", tmp_path / "m", allow_file_system_ops=True)


def test_an_asset_outside_the_assets_folder_is_refused(models: Models, tmp_path: pathlib.Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    version = models.publish("half_plus_two", tmp_path / "m", 1)
    file = version / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    proto.meta_graphs[0].asset_file_def.add(filename="../../../etc/passwd")
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(StatusError, match="names an asset outside its assets folder"):
        safety.check(version, tmp_path / "m")


@pytest.mark.parametrize("damage", ["empty", "noise", "truncated", "no_variables", "link"])
def test_a_damaged_version_fails_alone(models: Models, tmp_path: pathlib.Path, damage: str) -> None:
    base_path = tmp_path / "half"
    models.publish("half_plus_two", base_path, 1)
    with running_server(model_name="half", model_base_path=str(base_path), max_num_load_retries=0) as server:
        stubs = Stubs(f"127.0.0.1:{server.grpc_port}")
        staged = models.publish("half_plus_three", tmp_path / "staged", 2)
        graph = staged / "saved_model.pb"
        if damage == "empty":
            graph.write_bytes(b"")
        elif damage == "noise":
            graph.write_bytes(bytes(range(256)) * 20)
        elif damage == "truncated":
            graph.write_bytes(graph.read_bytes()[:1000])
        elif damage == "no_variables":
            (staged / "variables" / "variables.index").unlink()
        else:
            (staged / "saved_model.pb").rename(tmp_path / "graph.pb")
            graph.symlink_to(tmp_path / "graph.pb")
        staged.rename(base_path / "2")
        eventually(lambda: stubs.states("half") == {2: "END", 1: "AVAILABLE"})
        status = stubs.status("half", 2).model_version_status[0].status
        assert status.error_code != 0
        assert status.error_message
        assert stubs.predict("half", {"x": column(2)}).model_spec.version.value == 1
        assert grpc.StatusCode.OK.value[0] == stubs.status("half", 1).model_version_status[0].status.error_code


def test_defaults_of_a_signature_fill_in(tf: Any, models: Models, tmp_path: pathlib.Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    version = models.publish("half_plus_two", tmp_path / "half", 1)
    file = version / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    signature = proto.meta_graphs[0].signature_def["multiply"]
    signature.defaults["b"].CopyFrom(tf.make_tensor_proto(np.array([[1], [10]], np.float32)))
    file.write_bytes(proto.SerializeToString())
    with running_server(model_name="half", model_base_path=str(tmp_path / "half")) as server:
        stubs = Stubs(f"127.0.0.1:{server.grpc_port}")
        a = np.array([[2, 3]], np.float32)
        response = stubs.predict("half", {"a": a}, signature="multiply")
        assert list(response.outputs["product"].float_val) == [32.0]  # 2 * 1 + 3 * 10
        for inputs, words in (
            ({"b": a}, "Signature input alias: a(feed name: multiply_a:0) not found in request and no default"),
            ({"a": a, "c": a}, "Inputs contains invalid name."),
        ):
            with pytest.raises(grpc.RpcError) as raised:
                stubs.predict("half", inputs, signature="multiply")
            assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert words in raised.value.details()


def _save_twice(tf: Any, version: pathlib.Path) -> None:
    module = tf.Module()
    module.twice = tf.function(
        lambda x: {"y": 2 * x}, input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")]
    )
    tf.saved_model.save(module, str(version), signatures=module.twice)


def _save_twice_without_a_folder_of_variables(tf: Any, version: pathlib.Path) -> None:
    tf1 = tf.compat.v1
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None, 1], name="x")
        tf1.saved_model.simple_save(session, str(version), {"x": x}, {"y": 2 * x})
    (version / "variables").rmdir()


@pytest.mark.parametrize("save", [_save_twice, _save_twice_without_a_folder_of_variables])
def test_a_model_that_needs_no_variables_is_served(
    save: Callable[[Any, pathlib.Path], None], tf: Any, tmp_path: pathlib.Path
) -> None:
    save(tf, tmp_path / "twice" / "1")
    with running_server(model_name="twice", model_base_path=str(tmp_path / "twice")) as server:
        answer = Stubs(f"127.0.0.1:{server.grpc_port}").predict("twice", {"x": column(3)})
    assert list(answer.outputs["y"].float_val) == [6.0]
