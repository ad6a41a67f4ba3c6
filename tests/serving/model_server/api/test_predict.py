"""PredictionService.Predict: the checks in their order, with the codes and words that clients match on."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from tests.serving.conftest import Models
from tests.serving.servers import Stubs, column, fails, predict_request, running_server, values

INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
NOT_FOUND = grpc.StatusCode.NOT_FOUND


@pytest.fixture(scope="module")
def stubs(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    base_path = tmp_path_factory.mktemp("served") / "half"
    models.publish("half_plus_two", base_path, "00000123")
    with running_server(model_name="half", model_base_path=str(base_path)) as server:
        yield Stubs(f"127.0.0.1:{server.grpc_port}")


def test_answers_with_values_and_says_which_version_and_signature_made_them(stubs: Stubs) -> None:
    response = stubs.predict("half", {"x": column(2.0, 5.0)})

    # 2 / 2 + 2 = 3, 5 / 2 + 2 = 4.5
    np.testing.assert_array_equal(values(response)["y"], [[3.0], [4.5]])
    assert response.model_spec.name == "half"
    assert response.model_spec.version.value == 123
    assert response.model_spec.signature_name == "serving_default"


def test_writes_outputs_to_the_typed_fields(stubs: Stubs) -> None:
    floats = stubs.predict("half", {"x": column(2.0, 5.0)}).outputs["y"]
    assert list(floats.float_val) == [3.0, 4.5]
    assert not floats.tensor_content
    assert [dim.size for dim in floats.tensor_shape.dim] == [2, 1]

    words = stubs.predict("half", {"words": [b"ab", b"cde"]}, signature="shout").outputs
    assert list(words["upper"].string_val) == [b"AB", b"CDE"]
    assert list(words["length"].int_val) == [2, 3]


def test_serves_strings_longer_than_tensorflow_stores_inline(stubs: Stubs) -> None:
    words = ["short", "", "ein sehr langer Text " * 100, "中文"]
    response = values(stubs.predict("half", {"words": words}, signature="shout"))
    assert [word.decode() for word in response["upper"]] == [word.upper() for word in words]


def test_a_model_spec_must_be_there_and_have_a_name(stubs: Stubs) -> None:
    request = predict_request("half", {"x": column(1)})
    request.ClearField("model_spec")
    with fails(INVALID_ARGUMENT, "Missing ModelSpec"):
        stubs.prediction.Predict(request)
    with fails(INVALID_ARGUMENT, "ModelSpec has no name specified."):
        stubs.predict("", {"x": column(1)})


def test_an_unknown_model_or_version_is_not_found(stubs: Stubs) -> None:
    with fails(NOT_FOUND, "Servable not found for request: Latest(other)"):
        stubs.predict("other", {"x": column(1)})
    with fails(NOT_FOUND, "Servable not found for request: Specific(half, 7)"):
        stubs.predict("half", {"x": column(1)}, version=7)
    with fails(NOT_FOUND, "Servable not found for request: Specific(half, 0)"):
        stubs.predict("half", {"x": column(1)}, version=0)
    with fails(INVALID_ARGUMENT, "Unrecognized servable version label: stable"):
        stubs.predict("half", {"x": column(1)}, label="stable")
    with fails(INVALID_ARGUMENT, "Unrecognized servable version label: stable"):
        stubs.predict("other", {"x": column(1)}, label="stable")


def test_an_exact_version_is_served(stubs: Stubs) -> None:
    assert stubs.predict("half", {"x": column(1)}, version=123).model_spec.version.value == 123


def test_an_unknown_signature_is_a_failed_precondition_and_comes_before_the_inputs(stubs: Stubs) -> None:
    with fails(FAILED_PRECONDITION, 'Serving signature key "nope" not found.'):
        stubs.predict("half", {"wrong": column(1)}, signature="nope")


def test_the_number_of_inputs_is_checked_and_all_names_are_listed(stubs: Stubs) -> None:
    with fails(
        INVALID_ARGUMENT,
        "input size does not match signature: 1!=2 len({a}) != len({a,b})",
        "Sent extra: {}. Missing but required: {b}.",
    ):
        stubs.predict("half", {"a": np.ones([1, 2], np.float32)}, signature="multiply")
    with fails(INVALID_ARGUMENT, "3!=1", "Sent extra: {w,z}. Missing but required: {}."):
        stubs.predict("half", {"x": column(1), "z": 1.0, "w": 1.0})
    with fails(INVALID_ARGUMENT, "0!=1", "Missing but required: {x}."):
        stubs.predict("half", {})


def test_a_wrong_name_in_the_right_number_is_named(stubs: Stubs) -> None:
    with fails(INVALID_ARGUMENT, "Signature input alias: x(feed name: serving_default_x:0) not found in request"):
        stubs.predict("half", {"z": column(1)})


def test_a_tensor_whose_shape_does_not_fit_its_data_does_not_parse(stubs: Stubs) -> None:
    request = predict_request("half", {"x": column(1, 2)})
    request.inputs["x"].tensor_shape.dim[0].size = 3
    with fails(INVALID_ARGUMENT, "tensor parsing error: x"):
        stubs.prediction.Predict(request)


def test_few_values_are_filled_up_but_not_without_a_limit(stubs: Stubs) -> None:
    request = predict_request("half", {"x": column(2)})
    request.inputs["x"].float_val[:] = [2.0]
    request.inputs["x"].tensor_shape.dim[0].size = 3
    assert list(stubs.prediction.Predict(request).outputs["y"].float_val) == [3.0, 3.0, 3.0]

    request.inputs["x"].tensor_shape.dim[0].size = 2**50
    with fails(INVALID_ARGUMENT, "tensor parsing error: x"):
        stubs.prediction.Predict(request)


def test_only_the_outputs_of_the_filter_are_computed_and_returned(stubs: Stubs) -> None:
    matrices = {"a": np.ones([1, 2], np.float32), "b": np.ones([2, 3], np.float32)}
    response = stubs.predict("half", matrices, signature="multiply", outputs=("total",))
    # Two ones times two ones, three times: 2 + 2 + 2.
    assert {alias: float(value) for alias, value in values(response).items()} == {"total": 6.0}


def test_the_output_filter_is_checked(stubs: Stubs) -> None:
    with fails(
        INVALID_ARGUMENT,
        "output tensor alias not found in signature: z Outputs expected to be in the set {y}.",
    ):
        stubs.predict("half", {"x": column(1)}, outputs=("y", "z"))
    with fails(INVALID_ARGUMENT, "duplicate output tensor alias: y"):
        stubs.predict("half", {"x": column(1)}, outputs=("y", "y"))


@pytest.mark.parametrize("wrong", [b"text", 1.5, 1])
def test_no_type_is_cast(stubs: Stubs, wrong: Any) -> None:
    name = {bytes: "string", float: "double", int: "int64"}[type(wrong)]
    array = np.array([[wrong]], object if name == "string" else name)
    with fails(INVALID_ARGUMENT, f"Expects arg[0] to be float but {name} is provided"):
        stubs.predict("half", {"x": array})


def test_the_declared_shape_is_not_checked(stubs: Stubs) -> None:
    for x in (np.float32(2), np.array([2], np.float32), np.array([[2, 2]], np.float32)):
        y = values(stubs.predict("half", {"x": x}))["y"]
        np.testing.assert_array_equal(y, x / 2 + 2)


def test_an_op_that_refuses_says_so_in_tensorflows_words(stubs: Stubs) -> None:
    matrices = {"a": np.ones([1, 4], np.float32), "b": np.ones([3, 2], np.float32)}
    with fails(INVALID_ARGUMENT, "Matrix size-incompatible: In[0]: [1,4], In[1]: [3,2]", "{{node "):
        stubs.predict("half", matrices, signature="multiply")


def test_any_signature_can_be_asked_for_its_metadata(stubs: Stubs) -> None:
    from tensorflow_serving.apis import get_model_metadata_pb2

    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "half"
    with fails(INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field"):
        stubs.prediction.GetModelMetadata(request)
    request.metadata_field.append("other")
    with fails(INVALID_ARGUMENT, "Metadata field other is not supported"):
        stubs.prediction.GetModelMetadata(request)
    request.metadata_field[:] = ["signature_def"]
    response = stubs.prediction.GetModelMetadata(request)

    assert (response.model_spec.name, response.model_spec.version.value) == ("half", 123)
    assert response.model_spec.signature_name == ""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def) == {
        "__saved_model_init_op", "count", "multiply", "serving_default", "shout",
    }  # fmt: skip
    x = signatures.signature_def["serving_default"].inputs["x"]
    assert (x.name, x.dtype) == ("serving_default_x:0", 1)
    assert [dim.size for dim in x.tensor_shape.dim] == [-1, 1]
    assert signatures.signature_def["serving_default"].method_name == "tensorflow/serving/predict"


def test_status_of_one_version_and_of_all(stubs: Stubs) -> None:
    (status,) = stubs.status("half").model_version_status
    assert (status.version, status.state, status.status.error_code) == (123, 30, 0)
    assert stubs.status("half", 123).model_version_status[0].version == 123
    with fails(NOT_FOUND, "Could not find version 7 of model half"):
        stubs.status("half", 7)
    with fails(NOT_FOUND, "Could not find any versions of model other"):
        stubs.status("other")
    with fails(NOT_FOUND, "Could not find any versions of model "):
        stubs.status("")


def test_a_request_past_its_deadline_is_told_so(stubs: Stubs) -> None:
    assert values(stubs.predict("half", {"limit": np.int64(1000)}, signature="count"))["count"] == 1000
    endless = predict_request("half", {"limit": np.int64(10**12)}, signature="count")
    with fails(grpc.StatusCode.DEADLINE_EXCEEDED):
        stubs.prediction.Predict(endless, timeout=0.5)


def test_messages_larger_than_grpcs_default_pass(stubs: Stubs) -> None:
    x = np.zeros([2_000_000, 1], np.float32)
    assert values(stubs.predict("half", {"x": x}))["y"].shape == x.shape
