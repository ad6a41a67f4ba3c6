"""TensorFlow's C API, as much of it as loads a SavedModel and runs it.

The C++ loader and session behind it are those that TensorFlow Serving runs, so models load, compute and fail
exactly as they do there (TF1 graphs and op error messages included). It is reached with ctypes instead of
`import tensorflow` because that import costs seconds of start-up, and the Python loader holds the interpreter
lock while a model loads, which every request in flight would feel; here loading and running leave it alone.
"""

import contextlib
import ctypes
import functools
import importlib.util
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from homefeed.serving.model_server.errors import Code, StatusError


class Buffer(ctypes.Structure):
    """A TF_Buffer: bytes."""

    _fields_ = (("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("deallocator", ctypes.c_void_p))


class Output(ctypes.Structure):
    """A TF_Output: one output of an operation of a graph."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


Deallocator = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
_pointer = ctypes.c_void_p
_text = ctypes.c_char_p
_int = ctypes.c_int
_size = ctypes.c_size_t
_int64s = ctypes.POINTER(ctypes.c_int64)

# Function: (result, arguments). The slow ones release the interpreter lock. The others are done in nanoseconds,
# and giving up the lock in each would let another thread keep it for milliseconds.
_SLOW_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "TF_LoadSessionFromSavedModel": (
        _pointer,
        [_pointer, _pointer, _text, ctypes.POINTER(_text), _int, _pointer, ctypes.POINTER(Buffer), _pointer],
    ),
    "TF_SessionRun": (
        None,
        [
            _pointer,
            _pointer,
            _pointer,
            _pointer,
            _int,
            _pointer,
            _pointer,
            _int,
            _pointer,
            _int,
            _pointer,
            _pointer,
        ],
    ),
    "TF_CloseSession": (None, [_pointer, _pointer]),
    "TF_DeleteSession": (None, [_pointer, _pointer]),
    "TF_DeleteGraph": (None, [_pointer]),
}
_QUICK_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "TF_Version": (_text, []),
    "TF_NewStatus": (_pointer, []),
    "TF_DeleteStatus": (None, [_pointer]),
    "TF_GetCode": (_int, [_pointer]),
    "TF_Message": (_text, [_pointer]),
    "TF_NewBuffer": (ctypes.POINTER(Buffer), []),
    "TF_NewBufferFromString": (_pointer, [_text, _size]),
    "TF_DeleteBuffer": (None, [_pointer]),
    "TF_NewSessionOptions": (_pointer, []),
    "TF_SetConfig": (None, [_pointer, _text, _size, _pointer]),
    "TF_DeleteSessionOptions": (None, [_pointer]),
    "TF_NewGraph": (_pointer, []),
    "TF_GraphOperationByName": (_pointer, [_pointer, _text]),
    "TF_OperationNumOutputs": (_int, [_pointer]),
    "TF_AllocateTensor": (_pointer, [_int, _int64s, _int, _size]),
    "TF_NewTensor": (_pointer, [_int, _int64s, _int, _pointer, _size, Deallocator, _pointer]),
    "TF_DeleteTensor": (None, [_pointer]),
    "TF_TensorType": (_int, [_pointer]),
    "TF_NumDims": (_int, [_pointer]),
    "TF_Dim": (ctypes.c_int64, [_pointer, _int]),
    "TF_TensorData": (_pointer, [_pointer]),
    "TF_StringCopy": (None, [_pointer, _text, _size]),
    "TF_StringGetDataPointer": (_pointer, [_pointer]),
    "TF_StringGetSize": (_size, [_pointer]),
    "TF_StringDealloc": (None, [_pointer]),
}


class _Library:
    """The functions above, as attributes."""

    def __init__(self, path: str):
        for dll, functions in ((ctypes.CDLL(path), _SLOW_FUNCTIONS), (ctypes.PyDLL(path), _QUICK_FUNCTIONS)):
            for name, (result, arguments) in functions.items():
                function = getattr(dll, name)
                function.restype, function.argtypes = result, arguments
                setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name} is not in the tables of C functions above.")


@functools.cache
def library() -> Any:
    """Loads TensorFlow's shared library: under a second, the Python package stays out."""
    # With oneDNN's kernels, concurrent runs of one graph corrupt the heap within seconds (TensorFlow 2.16 on a CPU
    # with AMX; the same from TensorFlow's own Python sessions). Without them they do not.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    spec = importlib.util.find_spec("tensorflow")
    folders = spec.submodule_search_locations if spec else None
    found = [path for folder in folders or [] for path in pathlib.Path(folder).glob("libtensorflow_cc*")]
    if not found:
        raise ImportError(
            "The model server found no library `libtensorflow_cc`, which the package `tensorflow` brings. "
            "Install it with `pip install tensorflow`."
        )
    return _Library(str(found[0]))


def tensorflow_version() -> str:
    """The version of the TensorFlow library, such as `2.16.2`."""
    return str(library().TF_Version().decode())


@contextlib.contextmanager
def checked_status() -> Iterator[Any]:
    """Lends a TF_Status and raises what it holds afterwards."""
    tf = library()
    status = tf.TF_NewStatus()
    try:
        yield status
        code = tf.TF_GetCode(status)
        if code:
            known = code if code in Code.__members__.values() else Code.UNKNOWN
            raise StatusError(Code(known), tf.TF_Message(status).decode(errors="replace"))
    finally:
        tf.TF_DeleteStatus(status)
