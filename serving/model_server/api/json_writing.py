"""Tensors as the REST API's JSON: row and column form, b64 strings, and how numbers are written."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from homefeed_client import tensors

from homefeed.serving.model_server.errors import Code, StatusError, invalid_argument
from homefeed.serving.model_server.loading.servable import Array


def write_predictions(outputs: Mapping[str, Array], *, row_form: bool) -> bytes:
    """Writes the answer to a predict request.

    Raises:
        StatusError: INVALID_ARGUMENT, row form and the outputs do not share a first dimension; UNIMPLEMENTED, a type
            that JSON has no form for.
    """
    if row_form:
        return b'{"predictions": ' + _rows_json(outputs) + b"}"
    if len(outputs) == 1:
        ((alias, value),) = outputs.items()
        return b'{"outputs": ' + _tensor_json(alias, value) + b"}"
    columns = b", ".join(_key(alias) + _tensor_json(alias, value) for alias, value in outputs.items())
    return b'{"outputs": {' + columns + b"}}"


def _rows_json(outputs: Mapping[str, Array]) -> bytes:
    batch_size = None
    for alias, value in outputs.items():
        if not value.ndim:
            raise invalid_argument(f"Tensor name: {alias} has no shape information")
        batch_size = len(value) if batch_size is None else batch_size
        if len(value) != batch_size:
            raise invalid_argument(
                f"Tensor name: {alias} has inconsistent batch size: {len(value)} expecting: {batch_size}"
            )
    columns = {alias: _split(_elements(alias, value), value.shape) for alias, value in outputs.items()}
    if len(columns) == 1:
        (rows,) = columns.values()
        return b"[" + b", ".join(rows) + b"]"
    keys = [_key(alias) for alias in columns]
    rows = [
        b"{" + b", ".join(key + value for key, value in zip(keys, row, strict=True)) + b"}"
        for row in zip(*columns.values(), strict=True)
    ]
    return b"[" + b", ".join(rows) + b"]"


def _key(alias: str) -> bytes:
    return json.dumps(alias, ensure_ascii=False).encode() + b": "


def _tensor_json(alias: str, value: Array) -> bytes:
    (whole,) = _split(_elements(alias, value), (1, *value.shape))
    return whole


def _split(elements: list[bytes], shape: Sequence[int]) -> list[bytes]:
    """Joins elements into lists along all axes but the first."""
    for axis in range(len(shape) - 1, 0, -1):
        size = shape[axis]
        count = math.prod(shape[:axis])
        elements = [b"[" + b", ".join(elements[index * size : (index + 1) * size]) + b"]" for index in range(count)]
    return elements


def _elements(alias: str, value: Array) -> list[bytes]:
    """Every element as JSON, flat."""
    flat = value.ravel().tolist()
    if value.dtype.hasobject:
        return [string_json(element, as_b64=alias.endswith("_bytes")) for element in flat]
    if value.dtype.kind == "b":
        return [b"true" if element else b"false" for element in flat]
    if value.dtype.kind in "iu":
        return [b"%d" % element for element in flat]
    if value.dtype in (np.float32, np.float64):
        return [number_json(element, value.dtype).encode() for element in flat]
    name = tensors.dtype_of_array(value).name
    raise StatusError(Code.UNIMPLEMENTED, f"Conversion of type: {name} of output {alias} to JSON is not supported.")


def string_json(value: bytes, *, as_b64: bool = False) -> bytes:
    """A byte string as JSON: as it is, or `{"b64": "…"}`."""
    if as_b64:
        return b'{"b64": "' + base64.b64encode(value) + b'"}'
    text = value.decode(errors="surrogateescape")
    return json.dumps(text, ensure_ascii=False).encode(errors="surrogateescape")


def number_json(value: float, dtype: Any = np.float32) -> str:
    """A float as JSON, always with a point or an exponent.

    Six significant digits when they read back as the same value, else as many as its type needs. What is not finite
    is written as a bare word.

    Example:
        >>> number_json(3.0), number_json(9e6), number_json(float("-inf"))
        ('3.0', '9e+06', '-Infinity')
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = f"{value:.6g}"
    if np.dtype(dtype).type(text) != value:
        text = f"{value:.9g}" if dtype == np.float32 else f"{value:.17g}"
    return text if "." in text or "e" in text else text + ".0"
