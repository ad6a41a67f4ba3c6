"""Classify, Regress and MultiInference, on a model that TensorFlow 1 saved."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import classification_pb2, inference_pb2, input_pb2, regression_pb2

from tests.serving.conftest import Models
from tests.serving.servers import RPC_SECONDS, Stubs, fails, running_server, values

INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


@pytest.fixture(scope="module")
def stubs(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    base_path = tmp_path_factory.mktemp("served") / "tf1"
    models.publish("tf1", base_path, 5)
    with running_server(model_name="m", model_base_path=str(base_path)) as server:
        yield Stubs(f"127.0.0.1:{server.grpc_port}")


def _examples(*xs: float) -> Any:
    input_ = input_pb2.Input()
    for x in xs:
        input_.example_list.examples.add().features.feature["x"].float_list.value.append(x)
    return input_


def _classify(stubs: Stubs, signature: str, input_: Any) -> Any:
    request = classification_pb2.ClassificationRequest(input=input_)
    request.model_spec.name, request.model_spec.signature_name = "m", signature
    return stubs.prediction.Classify(request, timeout=RPC_SECONDS)


def _regress(stubs: Stubs, signature: str, input_: Any) -> Any:
    request = regression_pb2.RegressionRequest(input=input_)
    request.model_spec.name, request.model_spec.signature_name = "m", signature
    return stubs.prediction.Regress(request, timeout=RPC_SECONDS)


def _multi(stubs: Stubs, input_: Any, *tasks: tuple[str, str, str]) -> Any:
    request = inference_pb2.MultiInferenceRequest(input=input_)
    for name, signature, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = name, signature
    return stubs.prediction.MultiInference(request, timeout=RPC_SECONDS)


def test_classify_gives_each_example_its_classes(stubs: Stubs) -> None:
    response = _classify(stubs, "classify_x_to_y", _examples(2, 6))
    scores = [[c.score for c in row.classes] for row in response.result.classifications]
    # 2 / 2 + 2 = 3, 6 / 2 + 2 = 5
    assert scores == [[3.0], [5.0]]
    assert response.result.classifications[0].classes[0].label == ""
    assert (response.model_spec.version.value, response.model_spec.signature_name) == (5, "classify_x_to_y")


def test_classify_with_labels(stubs: Stubs) -> None:
    (row,) = _classify(stubs, "classify_with_labels", _examples(2)).result.classifications
    assert [(c.label, c.score) for c in row.classes] == [("ranked", 3.0)]


def test_regress_gives_each_example_a_value(stubs: Stubs) -> None:
    response = _regress(stubs, "regress_x_to_y", _examples(2, 6))
    assert [regression.value for regression in response.result.regressions] == [3.0, 5.0]
    assert response.model_spec.signature_name == "regress_x_to_y"


def test_a_large_context_of_many_examples_is_refused_before_it_is_repeated(stubs: Stubs) -> None:
    input_ = input_pb2.Input()
    with_context = input_.example_list_with_context
    with_context.context.features.feature["x"].bytes_list.value.append(bytes(2**16))
    for _ in range(300):  # 20 MB of 65 KB.
        with_context.examples.add()
    for send, signature in ((_classify, "classify_x_to_y"), (_regress, "regress_x_to_y")):
        with fails(INVALID_ARGUMENT, "is repeated for each of 300 examples: at most 16777216 bytes in all"):
            send(stubs, signature, input_)


def test_a_context_is_merged_into_each_example(stubs: Stubs) -> None:
    input_ = input_pb2.Input()
    with_context = input_.example_list_with_context
    with_context.context.features.feature["x"].float_list.value.append(2)
    with_context.examples.add()
    with_context.examples.add().features.feature["x"].float_list.value.append(6)
    result = _regress(stubs, "regress_x_to_y", input_).result
    # The example's own x comes after the context's and wins.
    assert [regression.value for regression in result.regressions] == [3.0, 5.0]


def test_no_example_is_an_error(stubs: Stubs) -> None:
    for input_ in (input_pb2.Input(), input_pb2.Input(example_list=input_pb2.ExampleList())):
        with fails(INVALID_ARGUMENT, "Input is empty."):
            _classify(stubs, "classify_x_to_y", input_)
        with fails(INVALID_ARGUMENT, "Input is empty."):
            _multi(stubs, input_, ("m", "regress_x_to_y", REGRESS))


def test_an_unknown_signature_is_an_invalid_argument_here(stubs: Stubs) -> None:
    with fails(INVALID_ARGUMENT, "No signature was found with the name: nope"):
        _classify(stubs, "nope", _examples(1))
    with fails(INVALID_ARGUMENT, "No signature was found with the name: nope"):
        _regress(stubs, "nope", _examples(1))


def test_the_signature_must_have_the_form(stubs: Stubs) -> None:
    with fails(INVALID_ARGUMENT, "No classification inputs found in SignatureDef: "):
        _classify(stubs, "serving_default", _examples(1))
    with fails(INVALID_ARGUMENT, "No regression inputs found in SignatureDef: "):
        _regress(stubs, "serving_default", _examples(1))
    with fails(INVALID_ARGUMENT, "Expected one input Tensor."):
        _classify(stubs, "slope", _examples(1))
    with fails(INVALID_ARGUMENT, "at least one of"):
        _classify(stubs, "regress_x_to_y", _examples(1))


def test_an_example_without_the_feature_fails_in_tensorflows_words(stubs: Stubs) -> None:
    with fails(INVALID_ARGUMENT, "Feature: x (data type: float) is required but could not be found."):
        _regress(stubs, "regress_x_to_y", input_pb2.Input(example_list={"examples": [{}]}))


def test_multi_inference_answers_in_the_order_of_the_tasks(stubs: Stubs) -> None:
    response = _multi(stubs, _examples(2), ("m", "regress_x_to_y", REGRESS), ("m", "classify_x_to_y", CLASSIFY))
    regression, classification = response.results
    assert regression.regression_result.regressions[0].value == 3.0
    assert classification.classification_result.classifications[0].classes[0].score == 3.0
    assert [result.model_spec.signature_name for result in response.results] == ["regress_x_to_y", "classify_x_to_y"]
    assert {result.model_spec.version.value for result in response.results} == {5}


def test_multi_inference_checks_its_tasks(stubs: Stubs) -> None:
    task = ("m", "regress_x_to_y", REGRESS)
    with fails(INVALID_ARGUMENT):
        _multi(stubs, _examples(1))
    with fails(INVALID_ARGUMENT, "Duplicate evaluation of signature: regress_x_to_y"):
        _multi(stubs, _examples(1), task, task)
    with fails(INVALID_ARGUMENT, "must access the same model"):
        _multi(stubs, _examples(1), task, ("other", "classify_x_to_y", CLASSIFY))
    with fails(INVALID_ARGUMENT, "Requested signature not found in model graph: nope"):
        _multi(stubs, _examples(1), ("m", "nope", REGRESS))
    with fails(grpc.StatusCode.UNIMPLEMENTED):
        _multi(stubs, _examples(1), ("m", "serving_default", "tensorflow/serving/predict"))


def test_predict_calls_any_signature_and_ref_variables_are_read(stubs: Stubs) -> None:
    assert values(stubs.predict("m", {}, signature="slope"))["slope"] == 0.5
    one = np.float32(6)
    np.testing.assert_array_equal(values(stubs.predict("m", {"x": one}))["y"], 5.0)


def test_method_names_are_checked_when_asked_for(models: Models, tmp_path: Any) -> None:
    models.publish("tf1", tmp_path / "tf1", 5)
    with running_server(
        model_name="m", model_base_path=str(tmp_path / "tf1"), enable_signature_method_name_check=True
    ) as server:
        stubs = Stubs(f"127.0.0.1:{server.grpc_port}")
        assert _regress(stubs, "regress_x_to_y", _examples(2)).result.regressions[0].value == 3.0
        with fails(INVALID_ARGUMENT, "Expected tensorflow/serving/classify signature method_name"):
            _classify(stubs, "regress_x_to_y", _examples(2))
