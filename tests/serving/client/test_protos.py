"""Our messages are TensorFlow Serving's: same fields, same bytes, in one process with theirs."""

import importlib
import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from homefeed_client import protos, tensors

_PUBLIC_MODULES = {
    "tensorflow.serving.": [
        f"tensorflow_serving.apis.{name}_pb2"
        for name in (
            "classification", "get_model_metadata", "get_model_status", "inference", "input", "model",
            "model_management", "predict", "prediction_log", "regression", "status",
        )
    ] + ["tensorflow_serving.config.model_server_config_pb2"],
    "tensorflow.": [
        "tensorflow.core.example.example_pb2",
        "tensorflow.core.framework.graph_pb2",
        "tensorflow.core.framework.tensor_pb2",
        "tensorflow.core.protobuf.config_pb2",
        "tensorflow.core.protobuf.meta_graph_pb2",
        "tensorflow.core.protobuf.saved_model_pb2",
    ],
}  # fmt: skip
# Read from text files only; tensorflow-serving-api does not ship them.
_TEXT_ONLY = {"BatchingParameters", "MonitoringConfig", "PrometheusConfig", "SSLConfig"}


@pytest.fixture(scope="module")
def public_pool() -> Any:
    from google.protobuf import descriptor_pool

    for module in itertools.chain.from_iterable(_PUBLIC_MODULES.values()):
        importlib.import_module(module)
    return descriptor_pool.Default()


def _our_messages() -> list[Any]:
    files = ("tensorflow.proto", "tensorflow_serving.proto", "tensorflow_serving_config.proto")
    messages = []
    for file in files:
        pending = list(protos.POOL.FindFileByName(file).message_types_by_name.values())
        while pending:
            messages.append(pending.pop())
            pending.extend(messages[-1].nested_types)
    return [message for message in messages if message.name not in _TEXT_ONLY]


def _wire_form(field: Any) -> tuple[Any, ...]:
    type_ = field.message_type or field.enum_type
    oneof = field.containing_oneof.name if field.containing_oneof else None
    return (field.name, field.number, field.type, field.label, type_ and type_.full_name, oneof)


def test_every_field_has_the_public_name_number_and_type(public_pool: Any) -> None:
    messages = _our_messages()
    assert len(messages) > 60
    for message in messages:
        public = public_pool.FindMessageTypeByName(message.full_name)
        for field in message.fields:
            assert _wire_form(field) == _wire_form(public.fields_by_name[field.name]), field.full_name


@pytest.mark.parametrize("name", ["tensorflow.DataType", "tensorflow.error.Code"])
def test_every_enum_value_has_the_public_number(public_pool: Any, name: str) -> None:
    public = public_pool.FindEnumTypeByName(name).values_by_name
    for value in protos.enum(name).values:
        assert public[value.name].number == value.number


def test_services_have_the_public_methods() -> None:
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    for service, public in (
        ("PredictionService", prediction_service_pb2_grpc.PredictionServiceServicer),
        ("ModelService", model_service_pb2_grpc.ModelServiceServicer),
    ):
        ours = protos.POOL.FindServiceByName(f"tensorflow.serving.{service}").methods_by_name
        assert set(ours) <= set(dir(public))


def test_the_descriptors_were_compiled_from_the_proto_files_beside_them(tmp_path: Any) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc")
    import importlib.resources

    folder = importlib.resources.files(protos)
    compiled = tmp_path / "descriptors.binpb"
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    arguments = [f"-I{folder}", f"-I{well_known}", "--include_imports", f"--descriptor_set_out={compiled}"]
    assert protoc.main(["protoc", *arguments, "tensorflow_serving.proto", "home_page.proto"]) == 0
    assert compiled.read_bytes() == folder.joinpath("descriptors.binpb").read_bytes()


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1.5, -2.0], [3.0, 0.0]], np.float32),
        np.float32(1.5),
        np.zeros([0, 3], np.float32),
        np.array([1.5, 2.5]),
        np.array([1.5, 2.5], np.float16),
        np.float16(1.5),
        np.array([-1, 2**40]),
        np.int64(-7),
        np.array([1, -2], np.int32),
        np.int8(-3),
        np.array([1, 2], np.uint16),
        np.uint32(2**32 - 1),
        np.uint64(2**64 - 1),
        np.array([True, False]),
        np.bool_(True),
        np.array([1 + 2j, 3j], np.complex64),
        np.complex128(1 - 2j),
        np.array([["a", "中文"], ["", "d"]]),
        np.array([b"\x00\xff", b"b"], object),
    ],
    ids=lambda array: f"{np.asarray(array).dtype}-{np.shape(array)}",
)
def test_tensors_are_the_bytes_that_tensorflow_makes_and_read_back(tf: Any, array: Any) -> None:
    array = np.asarray(array)
    ours, theirs = tensors.to_proto(array), tf.make_tensor_proto(array)
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)

    typed = tensors.to_proto(array, typed_fields=True)
    assert not typed.tensor_content
    public = type(theirs).FromString(typed.SerializeToString())
    np.testing.assert_array_equal(tf.make_ndarray(public), tf.make_ndarray(theirs))
    for proto in (ours, typed):
        back = tensors.to_array(proto)
        assert back.shape == array.shape
        np.testing.assert_array_equal(back, np.array(tf.make_ndarray(theirs)))


def test_bfloat16_survives(tf: Any) -> None:
    array = np.array([1.5, -2.0], tf.bfloat16.as_numpy_dtype)
    for typed_fields in (False, True):
        proto = tensors.to_proto(array, typed_fields=typed_fields)
        assert tensors.to_array(proto).dtype == array.dtype
        np.testing.assert_array_equal(tensors.to_array(proto), array)


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        ({"dtype": 1, "tensor_content": b"\0" * 5, "tensor_shape": {"dim": [{"size": 2}]}}, "needs 8 bytes, got 5"),
        ({"dtype": 1, "float_val": [1.0], "tensor_shape": {"dim": [{"size": -1}]}}, "must be fully known"),
        ({"dtype": 1, "float_val": [1.0], "tensor_shape": {"unknown_rank": True}}, "must be fully known"),
        ({"dtype": 7, "string_val": [b"a"], "tensor_shape": {"dim": [{"size": 2**40}]}}, "send all values"),
        # TensorFlow would end the process over these two.
        ({"dtype": 1, "tensor_shape": {"dim": [{"size": 2**40}, {"size": 2**40}, {"size": 0}]}}, "."),
        ({"dtype": 1, "float_val": [1.0], "tensor_shape": {"dim": [{"size": 1}] * 300}}, "."),
        ({"dtype": 20}, "resource cannot be held by NumPy"),
        ({"dtype": 0}, "invalid cannot be held by NumPy"),
        ({"dtype": 999}, "unknown dtype 999"),
    ],
)
def test_a_malformed_tensor_says_what_is_wrong(sent: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        tensors.to_array(tensors.TensorProto(**sent))


def test_requests_are_the_same_bytes() -> None:
    from tensorflow_serving.apis import predict_pb2

    def build(message_class: Any) -> bytes:
        request = message_class()
        request.model_spec.name = "m"
        request.model_spec.version.value = 0
        request.model_spec.signature_name = "s"
        request.inputs["b"].float_val.extend([1.0, 2.0])
        request.inputs["a"].string_val.append(b"\xff")
        request.output_filter.append("y")
        return bytes(request.SerializeToString(deterministic=True))

    assert build(protos.message("tensorflow.serving.PredictRequest")) == build(predict_pb2.PredictRequest)


_CLIENT_FIRST = """
import sys
import homefeed_client
assert not [name for name in sys.modules if name.startswith("tensorflow")], "TensorFlow was imported"

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from homefeed_client import protos
public = descriptor_pool.Default()
for file in descriptor_pb2.FileDescriptorSet.FromString(sys.stdin.buffer.read()).file:
    public.Add(file)
name = "tensorflow.serving.PredictRequest"
theirs = message_factory.GetMessageClass(public.FindMessageTypeByName(name))
sent = protos.message(name)(output_filter=["y"]).SerializeToString()
assert theirs.FromString(sent).output_filter == ["y"]
"""


def _with_dependencies(file: Any) -> list[Any]:
    files = []
    for dependency in file.dependencies:
        files += [known for known in _with_dependencies(dependency) if known not in files]
    return [*files, file]


def test_the_client_comes_without_tensorflow_and_lives_with_its_messages_when_imported_first() -> None:
    # The messages of tensorflow-serving-api as its modules register them, without the seconds that TensorFlow takes.
    from google.protobuf import descriptor_pb2
    from tensorflow_serving.apis import predict_pb2

    registered = descriptor_pb2.FileDescriptorSet()
    for file in _with_dependencies(predict_pb2.DESCRIPTOR):
        file.CopyToProto(registered.file.add())
    done = subprocess.run(
        [sys.executable, "-c", _CLIENT_FIRST], input=registered.SerializeToString(), capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()


def test_it_lives_with_tensorflow_when_imported_second(monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorflow_serving.apis import predict_pb2

    for name in [name for name in sys.modules if name.split(".")[0] == "homefeed_client"]:
        monkeypatch.delitem(sys.modules, name)
    again = importlib.import_module("homefeed_client.protos")
    assert again is not protos
    ours = again.message("tensorflow.serving.PredictRequest")(output_filter=["y"])
    assert predict_pb2.PredictRequest.FromString(ours.SerializeToString()).output_filter == ["y"]
