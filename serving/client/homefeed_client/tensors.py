"""Between NumPy arrays and TensorFlow's TensorProto.

Strings are object arrays of bytes. `bfloat16` needs the package `ml_dtypes`, which TensorFlow brings.
"""

import dataclasses
import importlib
import importlib.util
import math
from typing import Any

import numpy as np

from homefeed_client import protos

TensorProto = protos.message("tensorflow.TensorProto")

# A TensorProto may state fewer values than its shape has elements and mean "repeat the last one". A few bytes
# could so ask for any amount of memory; what is really carried is bounded by the size of a message already.
MAX_EXPANDED_BYTES = 64 * 1024


@dataclasses.dataclass(frozen=True)
class DType:
    """One element type: TensorFlow's number and name, NumPy's type, and the TensorProto field of its values."""

    number: int
    name: str
    numpy: np.dtype[Any]
    field: str

    @property
    def is_string(self) -> bool:
        """Whether elements are byte strings."""
        return self.name == "string"


def _dtypes() -> list[DType]:
    rows: list[tuple[str, Any, str]] = [
        ("float", np.float32, "float_val"),
        ("double", np.float64, "double_val"),
        ("half", np.float16, "half_val"),
        ("int8", np.int8, "int_val"),
        ("int16", np.int16, "int_val"),
        ("int32", np.int32, "int_val"),
        ("int64", np.int64, "int64_val"),
        ("uint8", np.uint8, "int_val"),
        ("uint16", np.uint16, "int_val"),
        ("uint32", np.uint32, "uint32_val"),
        ("uint64", np.uint64, "uint64_val"),
        ("bool", np.bool_, "bool_val"),
        ("complex64", np.complex64, "scomplex_val"),
        ("complex128", np.complex128, "dcomplex_val"),
        ("string", object, "string_val"),
    ]
    if importlib.util.find_spec("ml_dtypes"):
        rows.append(("bfloat16", importlib.import_module("ml_dtypes").bfloat16, "half_val"))
    numbers = protos.enum("tensorflow.DataType").values_by_name
    return [DType(numbers[f"DT_{name.upper()}"].number, name, np.dtype(type_), field) for name, type_, field in rows]


_BY_NUMBER = {dtype.number: dtype for dtype in _dtypes()}
_BY_NAME = {dtype.name: dtype for dtype in _BY_NUMBER.values()}
_BY_NUMPY = {dtype.numpy: dtype for dtype in _BY_NUMBER.values()}
# Packed, these fields are their values' little-endian bytes one after the other: no value is touched singly.
_RAW_FIELDS = frozenset({"float_val", "double_val", "bool_val", "scomplex_val", "dcomplex_val"})
# What `tf.make_tensor_proto` writes to `tensor_content`; other types go to their typed field.
_CONTENT_DTYPES = frozenset(
    {"half", "bfloat16", "float", "double", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"}
)


def dtype_name(number: int) -> str:
    """TensorFlow's name of a DataType number: `float` for DT_FLOAT; known also for types that NumPy lacks."""
    value = protos.enum("tensorflow.DataType").values_by_number.get(number)
    return value.name.removeprefix("DT_").lower() if value else f"unknown dtype {number}"


def dtype_of_number(number: int) -> DType:
    """The element type with TensorFlow's DataType number.

    Raises:
        ValueError: NumPy cannot hold this type.
    """
    if number not in _BY_NUMBER:
        raise ValueError(f"Tensors of type {dtype_name(number)} cannot be held by NumPy; cast them in the model.")
    return _BY_NUMBER[number]


def dtype_of_name(name: str) -> DType:
    """The element type with TensorFlow's name.

    Raises:
        ValueError: NumPy cannot hold this type.
    """
    if name not in _BY_NAME:
        raise ValueError(f"Tensors of type {name} cannot be held by NumPy; cast them in the model.")
    return _BY_NAME[name]


def dtype_of_array(array: np.ndarray[Any, Any]) -> DType:
    """The element type of an array; any string array counts as `string`.

    Raises:
        ValueError: TensorFlow has no such type.
    """
    if array.dtype.kind in "SU":
        return _BY_NUMPY[np.dtype(object)]
    if array.dtype not in _BY_NUMPY:
        raise ValueError(f"TensorFlow has no element type for NumPy's {array.dtype}; convert the array first.")
    return _BY_NUMPY[array.dtype]


def to_proto(array: np.ndarray[Any, Any], *, typed_fields: bool = False) -> Any:
    """Writes an array as a TensorProto, byte for byte as `tf.make_tensor_proto` does.

    Args:
        array: any shape; string elements are bytes, or str, which is encoded as UTF-8.
        typed_fields: write the values to `float_val` and its like (as a model server answers) and never to the
            raw `tensor_content` (as a client sends more than one number).

    Raises:
        ValueError: TensorFlow has no such element type.
        TypeError: an element of an object array is neither bytes nor str.
    """
    dtype = dtype_of_array(array)
    proto = TensorProto(dtype=dtype.number)
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if dtype.is_string:
        proto.string_val.extend([_to_bytes(value) for value in array.ravel().tolist()])
    elif array.size > 1 and not typed_fields and dtype.name in _CONTENT_DTYPES:
        proto.tensor_content = array.tobytes()
    elif array.size:
        _fill_typed_field(proto, dtype, array)
    return proto


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise TypeError(f"A string tensor holds bytes or str, not {type(value).__name__}: {value!r}.")


def _fill_typed_field(proto: Any, dtype: DType, array: np.ndarray[Any, Any]) -> None:
    if dtype.field in _RAW_FIELDS:
        data = array.tobytes()
        number = TensorProto.DESCRIPTOR.fields_by_name[dtype.field].number
        proto.MergeFromString(_varint(number << 3 | 2) + _varint(len(data)) + data)
    elif dtype.field == "half_val":
        proto.half_val.extend(np.ascontiguousarray(array).view(np.uint16).ravel().tolist())
    else:
        getattr(proto, dtype.field).extend(array.ravel().tolist())


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def to_array(proto: Any) -> np.ndarray[Any, Any]:
    """Reads a TensorProto, from its typed field or its raw content.

    As in TensorFlow, fewer values than elements repeat the last one, and no value means zeros.

    Returns:
        A C-contiguous array of the proto's shape; strings as an object array of bytes.

    Raises:
        ValueError: shape and data do not fit, or NumPy lacks the type.
    """
    dtype = dtype_of_number(proto.dtype)
    shape = _shape(proto)
    if proto.tensor_content:
        return _from_content(proto.tensor_content, dtype, shape)
    values = _typed_values(proto, dtype)
    count = math.prod(shape)
    if len(values) != count:
        values = _repeat_last(values, dtype, count)
    return values.reshape(shape)


def _shape(proto: Any) -> tuple[int, ...]:
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise ValueError(f"A tensor's shape must be fully known, but it is {list(shape) or 'of unknown rank'}.")
    return shape


def _from_content(content: bytes, dtype: DType, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    if dtype.is_string:
        raise ValueError("String tensors are read from `string_val`, not from `tensor_content`.")
    expected = math.prod(shape) * dtype.numpy.itemsize
    if len(content) != expected:
        raise ValueError(f"Shape {list(shape)} of {dtype.name} needs {expected} bytes, got {len(content)}.")
    return np.frombuffer(content, dtype.numpy).reshape(shape)


def _typed_values(proto: Any, dtype: DType) -> np.ndarray[Any, Any]:
    values = getattr(proto, dtype.field)
    if dtype.is_string:
        array = np.empty(len(values), object)
        array[:] = values
        return array
    if dtype.field == "half_val":
        return (np.array(values, np.int64) & 0xFFFF).astype(np.uint16).view(dtype.numpy)
    if dtype.numpy.kind == "c":
        parts = np.array(values, np.dtype(f"f{dtype.numpy.itemsize // 2}"))
        return parts[: parts.size // 2 * 2].view(dtype.numpy)
    # int_val carries small integers as 32-bit ones; TensorFlow keeps the low bits of those that do not fit.
    wide = np.dtype(np.int32) if dtype.field == "int_val" else dtype.numpy
    return np.array(values, wide).astype(dtype.numpy, copy=False)


def _repeat_last(values: np.ndarray[Any, Any], dtype: DType, count: int) -> np.ndarray[Any, Any]:
    if len(values) >= count:
        return values[:count]
    if count * dtype.numpy.itemsize > MAX_EXPANDED_BYTES:
        raise ValueError(
            f"{len(values)} values for {count} elements: at most {MAX_EXPANDED_BYTES} bytes are filled up by "
            "repeating the last value; send all values."
        )
    expanded = np.empty(count, dtype.numpy)
    expanded[: len(values)] = values
    expanded[len(values) :] = values[-1] if len(values) else (b"" if dtype.is_string else 0)
    return expanded
