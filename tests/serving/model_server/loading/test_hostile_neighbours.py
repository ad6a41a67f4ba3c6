"""A model beside other people's: what has a name belongs to it alone, and what has no end ends with its request."""

import pathlib
import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from homefeed.serving.releases.server_config import model_config
from tests.serving.conftest import Models
from tests.serving.servers import Stubs, column, eventually, fails, predict_request, running_server, values

NAMES = {"container": "common", "shared_name": "secret"}
ENDLESS_BYTES = 2**42


def _variable(tf: Any) -> Any:
    return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], **NAMES)


def _table(tf: Any) -> Any:
    names = {key: f"{value}-table" for key, value in NAMES.items()}
    return tf.raw_ops.MutableHashTableV2(key_dtype=tf.string, value_dtype=tf.float32, **names)


def _save(tf: Any, path: pathlib.Path, secret: float | None) -> None:
    """A model that tells the variable and the table of those names, and fills them in or not."""
    tf1 = tf.compat.v1
    info = tf1.saved_model.utils.build_tensor_info
    with tf.Graph().as_default(), tf1.Session() as session:
        main_op = None
        if secret is not None:
            filled = tf.raw_ops.LookupTableInsertV2(
                table_handle=_table(tf), keys=tf.constant(["key"]), values=tf.constant([secret])
            )
            assigned = tf.raw_ops.AssignVariableOp(resource=_variable(tf), value=tf.constant(secret))
            main_op = tf.group(filled, assigned)
        x = tf1.placeholder(tf.float32, [None, 1], name="x")
        looked_up = tf.raw_ops.LookupTableFindV2(
            table_handle=_table(tf), keys=tf.constant(["key"]), default_value=tf.constant(-1.0)
        )
        told = {
            "of_variable": tf.identity(x + tf.raw_ops.ReadVariableOp(resource=_variable(tf), dtype=tf.float32)),
            "of_table": tf.identity(x + looked_up),
        }
        signatures = {
            name: tf1.saved_model.signature_def_utils.build_signature_def({"x": info(x)}, {"y": info(y)}, "any")
            for name, y in told.items()
        }
        builder = tf1.saved_model.builder.SavedModelBuilder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures, main_op=main_op)
        builder.save()


def _config_of(folder: pathlib.Path, *names: str) -> pathlib.Path:
    file = folder / "models.config"
    file.write_text(model_config({name: folder / name for name in names}))
    return file


def test_models_with_the_same_names_share_nothing(tf: Any, tmp_path: pathlib.Path) -> None:
    secrets = {"owner": 41.0, "thief": None, "another": 7.0}
    for name, secret in secrets.items():
        _save(tf, tmp_path / name / "1", secret)
    with running_server(model_config_file=str(_config_of(tmp_path, *secrets))) as server:
        stubs = Stubs(f"127.0.0.1:{server.grpc_port}")

        def told(name: str, signature: str) -> float:
            return float(values(stubs.predict(name, {"x": column(1)}, signature=signature))["y"][0, 0])

        for name in ("owner", "another"):
            assert told(name, "of_variable") == told(name, "of_table") == 1 + float(secrets[name] or 0)
        assert told("thief", "of_table") == 0.0
        with fails(grpc.StatusCode.FAILED_PRECONDITION, "secret"):
            told("thief", "of_variable")


@pytest.fixture
def beside(tf: Any, models: Models, tmp_path: pathlib.Path) -> Iterator[Stubs]:
    """A server of `half` and of `greedy`, whose requests have no end."""

    class Greedy(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def loop(self, x: Any) -> Any:
            return {"y": tf.while_loop(lambda y: tf.reduce_all(y < 2.0), lambda y: y * 0.5, [x])[0]}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="x")])
        def fill(self, x: Any) -> Any:
            return {"y": tf.reduce_sum(tf.fill(x, 1.0))[None]}

    greedy = Greedy()
    signatures = {"loop": greedy.loop, "fill": greedy.fill}
    tf.saved_model.save(greedy, str(tmp_path / "greedy" / "1"), signatures=signatures)
    models.publish("half_plus_two", tmp_path / "half", 1)
    with running_server(model_config_file=str(_config_of(tmp_path, "greedy", "half"))) as server:
        yield Stubs(f"127.0.0.1:{server.grpc_port}")


def _is_at_rest() -> bool:
    before = time.process_time()
    time.sleep(0.2)
    return time.process_time() - before < 0.1


def test_a_request_that_would_take_all_time_ends_and_others_go_on(beside: Stubs) -> None:
    endless = predict_request("greedy", {"x": np.ones([1], np.float32)}, signature="loop")
    running = [beside.prediction.Predict.future(endless, timeout=0.5) for _ in range(2)]
    assert values(beside.predict("half", {"x": column(2)}))["y"].tolist() == [[3.0]]
    assert {call.code() for call in running} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    eventually(_is_at_rest)


@pytest.mark.slow  # TensorFlow asks for the memory for ten seconds.
def test_a_request_that_would_take_all_memory_is_refused_and_others_go_on(beside: Stubs) -> None:
    endless = predict_request("greedy", {"x": np.array([ENDLESS_BYTES // 4])}, signature="fill")
    running = beside.prediction.Predict.future(endless, timeout=60)
    while not running.done():
        assert values(beside.predict("half", {"x": column(2)}))["y"].tolist() == [[3.0]]
    assert running.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and "OOM when allocating" in running.details()
