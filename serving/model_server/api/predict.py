"""PredictionService.Predict: which checks a request passes, in which order, and how the answer is written."""

from collections.abc import Mapping
from typing import Any

from homefeed_client import tensors

from homefeed.serving.model_server.errors import Code, StatusError, failed_precondition, invalid_argument
from homefeed.serving.model_server.loading.servable import Array, Servable, Signature
from homefeed.serving.model_server.messages import PredictResponse

DEFAULT_SIGNATURE = "serving_default"
_METHOD_NAMES = frozenset(f"tensorflow/serving/{method}" for method in ("predict", "classify", "regress"))


def predict(
    servable: Servable,
    request: Any,
    timeout_seconds: float | None = None,
    *,
    as_tensor_content: bool = False,
    check_method_name: bool = False,
) -> Any:
    """Answers a PredictRequest.

    Args:
        servable: the version that was asked for.
        request: the PredictRequest message; its signature may have any method_name.
        timeout_seconds: how long the model may run; None is no limit.
        as_tensor_content: write outputs as raw bytes instead of typed fields.
        check_method_name: refuse signatures whose method_name is not one of TensorFlow Serving's.

    Returns:
        A PredictResponse message.

    Raises:
        StatusError: the first check that failed, or what TensorFlow said.
    """
    signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if signature_name not in servable.signatures:
        raise failed_precondition(f'Serving signature key "{signature_name}" not found.')
    signature = servable.signatures[signature_name]
    if check_method_name and signature.method_name not in _METHOD_NAMES:
        raise StatusError(
            Code.INTERNAL,
            f"Expected signature {signature_name} to have a method_name in {{{_names(_METHOD_NAMES)}}}, "
            f"but it is {signature.method_name or 'empty'}.",
        )
    feeds = _feeds(signature, request.inputs)
    aliases = _output_aliases(signature, request.output_filter)
    values = servable.run(feeds, [signature.outputs[alias] for alias in aliases], timeout_seconds)

    response = PredictResponse()
    fill_model_spec(response.model_spec, request.model_spec, servable, signature_name)
    for alias, value in zip(aliases, values, strict=True):
        response.outputs[alias].CopyFrom(tensors.to_proto(value, typed_fields=not as_tensor_content))
    return response


def fill_model_spec(answer: Any, requested: Any, servable: Servable, signature_name: str = "") -> None:
    """Writes which model, version and signature answered; never a label."""
    answer.name = requested.name
    answer.version.value = servable.version
    answer.signature_name = signature_name


def _feeds(signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Array]:
    """Value by tensor name, from what was sent and the signature's defaults."""
    surplus = inputs.keys() - signature.inputs.keys()
    missing = signature.inputs.keys() - inputs.keys()
    if len(inputs) > len(signature.inputs) or (len(inputs) < len(signature.inputs) and not signature.defaults):
        raise invalid_argument(
            f"input size does not match signature: {len(inputs)}!={len(signature.inputs)} "
            f"len({{{_names(inputs)}}}) != len({{{_names(signature.inputs)}}}). "
            f"Sent extra: {{{_names(surplus)}}}. Missing but required: {{{_names(missing)}}}."
        )
    feeds = {}
    for alias, tensor_name in signature.inputs.items():
        if alias in inputs:
            feeds[tensor_name] = _parse_tensor(alias, inputs[alias])
        elif alias in signature.defaults:
            feeds[tensor_name] = signature.defaults[alias]
        else:
            raise invalid_argument(
                f"Signature input alias: {alias}(feed name: {tensor_name}) not found in request and no default "
                f"value provided. Inputs expected to be in the set {{{_names(signature.inputs)}}}."
            )
    if surplus:
        raise invalid_argument(
            f"Inputs contains invalid name. Sent extra: {{{_names(surplus)}}}. "
            f"Inputs expected to be in the set {{{_names(signature.inputs)}}}."
        )
    return feeds


def _parse_tensor(alias: str, proto: Any) -> Array:
    try:
        return tensors.to_array(proto)
    except (ValueError, OverflowError, MemoryError) as error:
        raise invalid_argument(f"tensor parsing error: {alias}. {error}") from error


def _output_aliases(signature: Signature, output_filter: Any) -> list[str]:
    if not output_filter:
        return list(signature.outputs)
    aliases: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{_names(signature.outputs)}}}."
            )
        if alias in aliases:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        aliases.append(alias)
    return aliases


def _names(names: Any) -> str:
    return ",".join(sorted(names))
