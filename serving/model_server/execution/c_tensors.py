"""Between NumPy arrays and TF_Tensors."""

import ctypes
from typing import Any

import numpy as np
from homefeed_client import tensors

from homefeed.serving.model_server.errors import Code, StatusError
from homefeed.serving.model_server.execution.c_api import Deallocator, library

# A TF_TString: strings of up to 22 bytes lie inside, after a byte with their length; longer ones elsewhere. The two
# lowest bits say which. Reading and writing these 24 bytes directly spares a C call a string, of which a request may
# hold hundreds.
_TSTRING_BYTES = 24
_MAX_SMALL = 22
_SMALL, _LARGE = 0, 1
# Python's and NumPy's copies of strings take several times the room of TensorFlow's.
_STRINGS_AT_A_TIME = 4096


def to_tensor(array: np.ndarray[Any, Any]) -> Any:
    """A new TF_Tensor with a copy of the array."""
    dtype = tensors.dtype_of_array(array)
    dims = (ctypes.c_int64 * array.ndim)(*array.shape)
    if dtype.is_string:
        return _to_string_tensor(dtype, dims, array)
    array = np.ascontiguousarray(array)
    tensor = library().TF_AllocateTensor(dtype.number, dims, len(dims), array.nbytes)
    if array.nbytes:
        ctypes.memmove(library().TF_TensorData(tensor), array.ctypes.data, array.nbytes)
    return tensor


# The memory behind string tensors that TensorFlow still reads, by address, with the places of the long strings.
_string_buffers: dict[int, tuple[np.ndarray[Any, Any], list[int]]] = {}


def _to_string_tensor(dtype: tensors.DType, dims: Any, array: np.ndarray[Any, Any]) -> Any:
    flat = array.ravel()
    # A TF_TString of zero bytes is a valid empty string, and an address needs at least one.
    buffer = np.zeros((max(1, flat.size), _TSTRING_BYTES), np.uint8)
    long_places: list[int] = []
    for start in range(0, flat.size, _STRINGS_AT_A_TIME):
        part = slice(start, start + _STRINGS_AT_A_TIME)
        long_places += [start + place for place in _write_strings(buffer[part], flat[part].tolist())]
    address = buffer.ctypes.data
    _string_buffers[address] = (buffer, long_places)
    num_bytes = _TSTRING_BYTES * flat.size
    return library().TF_NewTensor(dtype.number, dims, len(dims), address, num_bytes, _free_strings, None)


def _write_strings(buffer: np.ndarray[Any, Any], strings: list[Any]) -> list[int]:
    """Writes bytes or text into zeros [number of strings, 24]; gives the places of the long ones."""
    values = [value if isinstance(value, bytes) else str(value).encode() for value in strings]
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    long_places: list[int] = np.flatnonzero(lengths > _MAX_SMALL).tolist()
    buffer[:, 0] = np.minimum(lengths, _MAX_SMALL) << 2 | _SMALL
    buffer[:, 1 : _MAX_SMALL + 1] = np.array(values, f"S{_MAX_SMALL}").view(np.uint8).reshape(-1, _MAX_SMALL)
    buffer[long_places] = 0
    for place in long_places:
        address = buffer.ctypes.data + _TSTRING_BYTES * place
        library().TF_StringCopy(address, values[place], len(values[place]))
    return long_places


@Deallocator
def _free_strings(address: int, num_bytes: int, _: Any) -> None:
    """Called by TensorFlow, on any thread, once nothing uses the tensor any more."""
    _, long_places = _string_buffers.pop(address)
    for place in long_places:
        library().TF_StringDealloc(address + _TSTRING_BYTES * place)


def to_array(tensor: Any) -> np.ndarray[Any, Any]:
    """A copy of a TF_Tensor."""
    tf = library()
    try:
        dtype = tensors.dtype_of_number(tf.TF_TensorType(tensor))
    except ValueError as error:
        raise StatusError(Code.UNIMPLEMENTED, str(error)) from error
    shape = [tf.TF_Dim(tensor, axis) for axis in range(tf.TF_NumDims(tensor))]
    array = np.empty(shape, dtype.numpy)
    data = tf.TF_TensorData(tensor)
    if dtype.is_string:
        array.reshape(-1)[:] = _strings_at(data, array.size)
    elif array.nbytes:
        ctypes.memmove(array.ctypes.data, data, array.nbytes)
    return array


def _strings_at(address: int, count: int) -> list[bytes]:
    raw = ctypes.string_at(address, count * _TSTRING_BYTES)
    words = np.frombuffer(raw, np.uint64).reshape(count, 3)
    sizes, pointers, kinds = (words[:, 0] >> 2).tolist(), words[:, 2].tolist(), (words[:, 0] & 3).tolist()
    strings = []
    for index, kind in enumerate(kinds):
        if kind == _SMALL:
            start = index * _TSTRING_BYTES
            strings.append(raw[start + 1 : start + 1 + (raw[start] >> 2)])
        elif kind == _LARGE:
            strings.append(ctypes.string_at(pointers[index], sizes[index]))
        else:
            strings.append(_string_at(address + _TSTRING_BYTES * index))
    return strings


def _string_at(address: int) -> bytes:
    tf = library()
    return ctypes.string_at(tf.TF_StringGetDataPointer(address), tf.TF_StringGetSize(address))
