"""Classify, Regress and MultiInference: tf.Examples in, labelled scores or values out."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from homefeed.serving.model_server.api.predict import DEFAULT_SIGNATURE, fill_model_spec
from homefeed.serving.model_server.errors import Code, StatusError, invalid_argument
from homefeed.serving.model_server.loading.servable import Array, Servable, Signature
from homefeed.serving.model_server.messages import (
    ClassificationResponse,
    ClassificationResult,
    MultiInferenceResponse,
    RegressionResponse,
    RegressionResult,
)

CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"

_INPUTS = "inputs"
_CLASSES = "classes"
_SCORES = "scores"
_OUTPUTS = "outputs"
# Of copies of a context, one for each example.
_MAX_CONTEXT_BYTES = 16 * 2**20


@dataclasses.dataclass(frozen=True)
class _Head:
    """A signature seen as a classifier or a regressor.

    Attributes:
        fetches: tensor name by output alias.
        to_result: makes the result message of the outputs and the number of examples.
    """

    input_name: str
    fetches: dict[str, str]
    to_result: Callable[[dict[str, Array], int], Any]


def classify(
    servable: Servable, request: Any, timeout_seconds: float | None = None, *, check_method_name: bool = False
) -> Any:
    """Answers a ClassificationRequest.

    Args:
        servable: the version that was asked for.
        request: the message.
        timeout_seconds: how long the model may run; None is no limit.
        check_method_name: refuse signatures whose method_name is not classify.

    Raises:
        StatusError: INVALID_ARGUMENT (empty input, not a classification signature), or what TensorFlow said.
    """
    return _single(servable, request, timeout_seconds, check_method_name, CLASSIFY_METHOD, ClassificationResponse())


def regress(
    servable: Servable, request: Any, timeout_seconds: float | None = None, *, check_method_name: bool = False
) -> Any:
    """Answers a RegressionRequest; as `classify`, for one float an example."""
    return _single(servable, request, timeout_seconds, check_method_name, REGRESS_METHOD, RegressionResponse())


def _single(
    servable: Servable,
    request: Any,
    timeout_seconds: float | None,
    check_method_name: bool,
    method_name: str,
    response: Any,
) -> Any:
    examples = _serialized_examples(request.input)
    signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if signature_name not in servable.signatures:
        raise invalid_argument(f"No signature was found with the name: {signature_name}")
    signature = servable.signatures[signature_name]
    if check_method_name and signature.method_name != method_name:
        raise invalid_argument(
            f"Expected {method_name} signature method_name, but signature {signature_name} has "
            f"{signature.method_name or 'none'}."
        )
    head = _HEADS[method_name](signature)
    outputs = servable.run({head.input_name: examples}, list(head.fetches.values()), timeout_seconds)
    result = head.to_result(dict(zip(head.fetches, outputs, strict=True)), len(examples))
    response.result.CopyFrom(result)
    fill_model_spec(response.model_spec, request.model_spec, servable, signature_name)
    return response


def multi_inference(servable: Servable, request: Any, timeout_seconds: float | None = None) -> Any:
    """Answers a MultiInferenceRequest: all heads in one run, results in the order of the tasks.

    Raises:
        StatusError: INVALID_ARGUMENT (mixed models, a signature twice or unknown), UNIMPLEMENTED (another method).
    """
    examples = _serialized_examples(request.input)
    heads = _task_heads(servable, request.tasks)
    feeds = {head.input_name: examples for head in heads.values()}
    fetches = [name for head in heads.values() for name in head.fetches.values()]
    outputs = iter(servable.run(feeds, fetches, timeout_seconds))

    response = MultiInferenceResponse()
    for task, (signature_name, head) in zip(request.tasks, heads.items(), strict=True):
        result = head.to_result({alias: next(outputs) for alias in head.fetches}, len(examples))
        entry = response.results.add()
        fill_model_spec(entry.model_spec, task.model_spec, servable, signature_name)
        if task.method_name == CLASSIFY_METHOD:
            entry.classification_result.CopyFrom(result)
        else:
            entry.regression_result.CopyFrom(result)
    return response


def multi_inference_model_spec(request: Any) -> Any:
    """The ModelSpec message that says which servable a MultiInferenceRequest is for.

    Raises:
        StatusError: INVALID_ARGUMENT, there is no task or they name several models.
    """
    if not request.tasks:
        raise invalid_argument("A MultiInferenceRequest must hold at least one task.")
    names = {task.model_spec.name for task in request.tasks}
    if "" in names:
        raise invalid_argument("Found ModelSpec with an empty model name.")
    if len(names) > 1:
        raise invalid_argument(
            "All ModelSpecs in a MultiInferenceRequest must access the same model name, but found: "
            f"{', '.join(sorted(names))}."
        )
    return request.tasks[0].model_spec


def _task_heads(servable: Servable, tasks: Any) -> dict[str, _Head]:
    heads: dict[str, _Head] = {}
    for task in tasks:
        signature_name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if signature_name in heads:
            raise invalid_argument(f"Duplicate evaluation of signature: {signature_name}")
        if signature_name not in servable.signatures:
            raise invalid_argument(f"Requested signature not found in model graph: {signature_name}")
        if task.method_name not in _HEADS:
            raise StatusError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
        heads[signature_name] = _HEADS[task.method_name](servable.signatures[signature_name])
    return heads


def _serialized_examples(input_: Any) -> Array:
    """Every Example as bytes; a shared context stands before each, and parsing merges the two."""
    kind = input_.WhichOneof("kind")
    examples = getattr(input_, kind).examples if kind else ()
    if not examples:
        raise invalid_argument("Input is empty.")
    context = b""
    if kind == "example_list_with_context":
        context = input_.example_list_with_context.context.SerializeToString()
    # A request of a few megabytes could ask for terabytes.
    if len(context) * len(examples) > _MAX_CONTEXT_BYTES:
        raise invalid_argument(
            f"A context of {len(context)} bytes is repeated for each of {len(examples)} examples: at most "
            f"{_MAX_CONTEXT_BYTES} bytes in all are; send fewer examples at a time."
        )
    array = np.empty(len(examples), object)
    array[:] = [context + example.SerializeToString() for example in examples]
    return array


def _input_name(signature: Signature, task: str) -> str:
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if _INPUTS not in signature.inputs:
        raise invalid_argument(
            f"No {task} inputs found in SignatureDef: its input is named {next(iter(signature.inputs))}, "
            f"expected {_INPUTS}."
        )
    return signature.inputs[_INPUTS]


def _classification_head(signature: Signature) -> _Head:
    input_name = _input_name(signature, "classification")
    fetches = {alias: signature.outputs[alias] for alias in (_CLASSES, _SCORES) if alias in signature.outputs}
    if not fetches or len(signature.outputs) > 2:
        raise invalid_argument(
            f'Expected classification signature outputs to contain at least one of "{_CLASSES}" or "{_SCORES}" and '
            f"nothing else, but it has: {', '.join(signature.outputs)}."
        )
    return _Head(input_name, fetches, _classification_result)


def _classification_result(outputs: dict[str, Array], num_examples: int) -> Any:
    for alias, output in outputs.items():
        expected, dtype = ("string", np.dtype(object)) if alias == _CLASSES else ("float", np.dtype(np.float32))
        if output.dtype != dtype:
            raise invalid_argument(f"Expected {alias} Tensor of {expected}. Got: {output.dtype}.")
        if output.ndim != 2:
            raise invalid_argument(
                f"Expected Tensor shape: [batch_size num_classes] but got {alias} of shape {_shape(output)}"
            )
        if len(output) != num_examples:
            raise invalid_argument(f"Expected {alias} of {num_examples} examples, but got {len(output)}.")
    if len({output.shape for output in outputs.values()}) > 1:
        raise invalid_argument("Tensors class and score should match in shape.")
    result = ClassificationResult()
    shape = next(iter(outputs.values())).shape
    labels = outputs.get(_CLASSES, np.full(shape, b"", object))
    scores = outputs.get(_SCORES, np.zeros(shape, np.float32))
    for row_labels, row_scores in zip(labels.tolist(), scores.tolist(), strict=True):
        classes = result.classifications.add().classes
        for label, score in zip(row_labels, row_scores, strict=True):
            classes.add(label=_to_text(label), score=score)
    return result


def _to_text(label: bytes) -> str:
    """Labels travel in a `string` field, which holds UTF-8 only."""
    return label.decode(errors="replace")


def _regression_head(signature: Signature) -> _Head:
    input_name = _input_name(signature, "regression")
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    if _OUTPUTS not in signature.outputs:
        raise invalid_argument(
            f"No regression outputs found in SignatureDef: its output is named {next(iter(signature.outputs))}, "
            f"expected {_OUTPUTS}."
        )
    return _Head(input_name, {_OUTPUTS: signature.outputs[_OUTPUTS]}, _regression_result)


def _regression_result(outputs: dict[str, Array], num_examples: int) -> Any:
    values = outputs[_OUTPUTS]
    if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] != 1):
        raise invalid_argument(f"Expected Tensor shape: [batch_size] or [batch_size, 1] but got {_shape(values)}")
    if values.dtype != np.float32:
        raise invalid_argument(f"Expected output Tensor of float. Got: {values.dtype}.")
    if len(values) != num_examples:
        raise invalid_argument(f"Expected values of {num_examples} examples, but got {len(values)}.")
    result = RegressionResult()
    for value in values.ravel().tolist():
        result.regressions.add(value=value)
    return result


def _shape(array: Array) -> str:
    return "[" + ",".join(map(str, array.shape)) + "]"


_HEADS: dict[str, Callable[[Signature], _Head]] = {
    CLASSIFY_METHOD: _classification_head,
    REGRESS_METHOD: _regression_head,
}
