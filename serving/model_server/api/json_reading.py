"""The REST API's JSON as tensors: row and column form, b64 strings."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from homefeed_client import tensors

from homefeed.serving.model_server.api.json_parsing import describe, from_base64
from homefeed.serving.model_server.errors import Code, StatusError, invalid_argument
from homefeed.serving.model_server.loading.servable import Array, Signature

# Element types that JSON values can stand for; the reference knows no others here.
_INTEGERS = frozenset({"int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"})
# The largest integer below which a float holds each, and the largest float.
_FLOATS = {
    "float": (2**24 - 1, float(np.finfo(np.float32).max)),
    "double": (2**53 - 1, float(np.finfo(np.float64).max)),
}
_MAX_UINT64 = 2**64 - 1
# With the axis of the instances, as many as NumPy has.
_MAX_RANK = 31


def parse_predict_inputs(request: Mapping[str, Any], signature: Signature) -> tuple[dict[str, Array], bool]:
    """Reads the tensors of a predict request.

    Returns:
        Value by input alias, and whether the request was in row form.

    Raises:
        StatusError: INVALID_ARGUMENT, or UNIMPLEMENTED for an element type that JSON cannot stand for.
    """
    if "instances" in request and "inputs" in request:
        raise invalid_argument("Not formatted correctly: expecting only one of 'inputs' or 'instances' keys.")
    if "instances" in request:
        return _parse_instances(request["instances"], signature), True
    if "inputs" in request:
        return _parse_columns(request["inputs"], signature), False
    raise invalid_argument("Missing 'inputs' or 'instances' key")


def _is_b64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"}


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not _is_b64(value)


def _parse_columns(inputs: Any, signature: Signature) -> dict[str, Array]:
    if not signature.inputs:
        raise invalid_argument("A signature without inputs cannot be called over REST.")
    if not _is_named(inputs):
        if len(signature.inputs) != 1:
            raise invalid_argument(
                "'inputs' is a plain value/list, but expecting an object as multiple named inputs are required: "
                f"{_names(signature)}"
            )
        inputs = dict.fromkeys(signature.inputs, inputs)
    arrays = {}
    for alias in signature.inputs:
        if alias not in inputs:
            raise invalid_argument(f"Missing named input: {alias} in 'inputs' object.")
        shape = _shape_of(inputs[alias])
        flat = _flatten(inputs[alias], shape, signature.dtypes[alias])
        arrays[alias] = _to_array(flat, shape, signature.dtypes[alias])
    return arrays


def _parse_instances(instances: Any, signature: Signature) -> dict[str, Array]:
    if not isinstance(instances, list):
        raise invalid_argument("Expecting 'instances' to be an list/array")
    if not instances:
        raise invalid_argument("No values in 'instances' array")
    if not signature.inputs:
        raise invalid_argument("A signature without inputs cannot be called over REST.")
    rows = _Rows(signature)
    for index, instance in enumerate(_named_instances(instances, signature)):
        for alias in signature.inputs:
            try:
                rows.add(alias, instance[alias])
            except StatusError as error:
                raise invalid_argument(
                    f"Failed to process element: {index} key: {alias} of 'instances' list. Error: {error}"
                ) from error
    return {alias: rows.array(alias, len(instances)) for alias in signature.inputs}


def _named_instances(instances: list[Any], signature: Signature) -> list[dict[str, Any]]:
    """Every instance as an object by input alias."""
    named = _is_named(instances[0])
    if not named and len(signature.inputs) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            f"tensorinfo_map: {_names(signature)}"
        )
    objects = []
    for index, instance in enumerate(instances):
        if _is_named(instance) != named:
            raise invalid_argument(
                f"Encountered mix of objects and plain values/lists at element {index} of 'instances' list."
            )
        if not named:
            instance = dict.fromkeys(signature.inputs, instance)
        if instance.keys() != signature.inputs.keys():
            raise invalid_argument(
                f"Failed to process element: {index} of 'instances' list. JSON object: keys must be equal to: "
                f"{_names(signature)}"
            )
        objects.append(instance)
    return objects


class _Rows:
    """Collects one value an instance for each input."""

    def __init__(self, signature: Signature):
        self._dtypes = signature.dtypes
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._values: dict[str, list[Any]] = {alias: [] for alias in signature.inputs}

    def add(self, alias: str, value: Any) -> None:
        shape = _shape_of(value)
        flat = _flatten(value, shape, self._dtypes[alias])
        expected = self._shapes.setdefault(alias, shape)
        if math.prod(expected) != len(flat):
            raise invalid_argument(f"Expecting tensor size: {math.prod(expected)} but got: {len(flat)}")
        if expected != shape:
            raise invalid_argument(f"Expecting shape {_bracketed(expected)} but got: {_bracketed(shape)}")
        self._values[alias].extend(flat)

    def array(self, alias: str, count: int) -> Array:
        return _to_array(self._values[alias], (count, *self._shapes[alias]), self._dtypes[alias])


def _shape_of(value: Any) -> tuple[int, ...]:
    """Sizes along the first elements; whether the others agree is found while flattening."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    if len(shape) > _MAX_RANK:
        raise invalid_argument(f"A list is nested {len(shape)} deep; at most {_MAX_RANK} levels are taken.")
    return tuple(shape)


def _flatten(value: Any, shape: Sequence[int], dtype: int) -> list[Any]:
    convert = _converter(dtype)
    level = [value]
    for depth, size in enumerate(shape):
        for item in level:
            if not isinstance(item, list):
                raise invalid_argument(
                    f"{describe(item)} found at incorrect level: {depth + 1} in the JSON DOM. Expected at level: "
                    f"{len(shape) + 1}"
                )
            if len(item) != size:
                raise invalid_argument(
                    f"Encountered list at unexpected size: {len(item)} at level: {depth} expected size: {size}"
                )
        level = list(itertools.chain.from_iterable(level))
    return [convert(item) for item in level]


def _converter(dtype: int) -> Any:
    name = tensors.dtype_name(dtype)
    if name == "string":
        return _to_bytes
    if name == "bool":
        accepts = _is_bool
    elif name in _FLOATS:
        return _to_float(name)
    elif name in _INTEGERS:
        limits = np.iinfo(tensors.dtype_of_number(dtype).numpy)
        low, high = int(limits.min), int(limits.max)

        def accepts(value: Any) -> bool:
            return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    else:
        raise StatusError(Code.UNIMPLEMENTED, f"Conversion of JSON Value to type: {name} is not supported.")

    def convert(value: Any) -> Any:
        if not accepts(value):
            raise invalid_argument(f"{describe(value)} is not of expected type: {name}")
        return value

    return convert


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _to_float(name: str) -> Callable[[Any], float]:
    largest_integer, largest = _FLOATS[name]

    def convert(value: Any) -> float:
        if value is None:  # Not in the reference: how else would JSON say that a number is unknown?
            return math.nan
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise invalid_argument(f"{describe(value)} is not of expected type: {name}")
        is_exact = isinstance(value, int) and abs(value) <= _MAX_UINT64
        # NaN is not larger.
        if math.inf != abs(value) > (largest_integer if is_exact else largest):
            raise invalid_argument(f"Cannot convert {describe(value)} to {name} without loss of precision.")
        return value

    return convert


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if _is_b64(value) and isinstance(value["b64"], str):
        try:
            return from_base64(value["b64"])
        except ValueError as error:
            raise invalid_argument(f"{describe(value)} is not a valid base64 string: {error}") from error
    raise invalid_argument(f"{describe(value)} is not of expected type: string")


def _to_array(flat: list[Any], shape: Sequence[int], dtype: int) -> Array:
    numpy_dtype = tensors.dtype_of_number(dtype).numpy
    if numpy_dtype.hasobject:
        array = np.empty(len(flat), object)
        array[:] = flat
        return array.reshape(shape)
    try:
        with np.errstate(over="ignore"):
            return np.array(flat, numpy_dtype).reshape(shape)
    except OverflowError as error:
        raise invalid_argument(f"A number is too large for {numpy_dtype}: {error}") from error


def _names(signature: Signature) -> str:
    return ",".join(signature.inputs)


def _bracketed(shape: Sequence[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"
