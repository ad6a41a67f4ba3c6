"""tf.Examples as the REST API's classify and regress write them: objects of feature values."""

from collections.abc import Mapping
from typing import Any

from homefeed.serving.model_server.api.json_parsing import from_base64
from homefeed.serving.model_server.errors import StatusError, invalid_argument
from homefeed.serving.model_server.messages import Input

_INT64 = range(-(2**63), 2**63)


def parse_input(request: Mapping[str, Any]) -> Any:
    """Reads `examples` and the optional `context` of a request.

    Returns:
        An Input message.

    Raises:
        StatusError: INVALID_ARGUMENT, with the example and the feature.
    """
    examples = request.get("examples")
    if examples is None:
        raise invalid_argument("When method is classify or regress, key 'examples' is expected and was not found")
    if not isinstance(examples, list):
        raise invalid_argument("Expecting 'examples' value to be a list/array")
    if not examples:
        raise invalid_argument("'examples' value is an empty array")
    parsed = Input()
    if "context" in request:
        target = parsed.example_list_with_context
        _fill_example(target.context, request["context"], "context")
    else:
        target = parsed.example_list
    for index, example in enumerate(examples):
        _fill_example(target.examples.add(), example, f"example {index}")
    return parsed


def _fill_example(message: Any, features: Any, where: str) -> None:
    if not isinstance(features, dict):
        raise invalid_argument(f"Example must be JSON object but got {type(features).__name__} at {where}.")
    message.features.SetInParent()
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        try:
            _fill_feature(message.features.feature[name], values)
        except (StatusError, ValueError, TypeError) as error:
            words = error.message if isinstance(error, StatusError) else str(error)
            raise invalid_argument(f"Feature {name} of {where}: {words}") from error


def _fill_feature(feature: Any, values: list[Any]) -> None:
    """The token decides the kind: 2 makes an int64 feature, 2.0 a float feature."""
    if not values:
        return
    kinds = {_kind(value) for value in values}
    if len(kinds) > 1:
        raise invalid_argument(f"all values must be of one kind, but there are {', '.join(sorted(kinds))}.")
    (kind,) = kinds
    converted = [_bytes(value) for value in values] if kind == "bytes_list" else values
    getattr(feature, kind).value.extend(converted)


def _kind(value: Any) -> str:
    if isinstance(value, (str, dict)):
        return "bytes_list"
    if isinstance(value, int):  # A bool is one too, and makes an int64 feature as well.
        if value not in _INT64:
            raise invalid_argument(f"{value} is not an int64.")
        return "int64_list"
    if isinstance(value, float):
        return "float_list"
    raise invalid_argument(f"a value is a number, a string, a bool or an object with b64, but got {value!r}.")


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if value.keys() != {"b64"} or not isinstance(value["b64"], str):
        raise invalid_argument(f"an object must hold b64 and nothing else, but got the keys {sorted(value)}.")
    try:
        return from_base64(value["b64"])
    except ValueError as error:
        raise invalid_argument(f"not a valid base64 string: {error}") from error
