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
import itertools
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from homefeed_client import tensors

from homefeed.serving.model_server.errors import Code, StatusError, invalid_argument
from homefeed.serving.model_server.messages import ConfigProto, MetaGraphDef, RunOptions

# A TF_TString: strings of up to 22 bytes lie inside, after a byte with their length; longer ones elsewhere. The two
# lowest bits say which. Reading and writing these 24 bytes directly spares a C call a string, of which a request may
# hold hundreds.
_TSTRING_BYTES = 24
_MAX_SMALL = 22
_SMALL, _LARGE = 0, 1


class _Buffer(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("deallocator", ctypes.c_void_p))


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


_Deallocator = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
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
        [_pointer, _pointer, _text, ctypes.POINTER(_text), _int, _pointer, ctypes.POINTER(_Buffer), _pointer],
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
    "TF_NewBuffer": (ctypes.POINTER(_Buffer), []),
    "TF_NewBufferFromString": (_pointer, [_text, _size]),
    "TF_DeleteBuffer": (None, [_pointer]),
    "TF_NewSessionOptions": (_pointer, []),
    "TF_SetConfig": (None, [_pointer, _text, _size, _pointer]),
    "TF_DeleteSessionOptions": (None, [_pointer]),
    "TF_NewGraph": (_pointer, []),
    "TF_GraphOperationByName": (_pointer, [_pointer, _text]),
    "TF_OperationNumOutputs": (_int, [_pointer]),
    "TF_AllocateTensor": (_pointer, [_int, _int64s, _int, _size]),
    "TF_NewTensor": (_pointer, [_int, _int64s, _int, _pointer, _size, _Deallocator, _pointer]),
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
def _library() -> Any:
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
    return str(_library().TF_Version().decode())


@contextlib.contextmanager
def _checked_status() -> Iterator[Any]:
    """Lends a TF_Status and raises what it holds afterwards."""
    tf = _library()
    status = tf.TF_NewStatus()
    try:
        yield status
        code = tf.TF_GetCode(status)
        if code:
            known = code if code in Code.__members__.values() else Code.UNKNOWN
            raise StatusError(Code(known), tf.TF_Message(status).decode(errors="replace"))
    finally:
        tf.TF_DeleteStatus(status)


class Session:
    """A SavedModel loaded into a TensorFlow session.

    `run` may be called from many threads at once; `close` only when no `run` is under way.

    Args:
        export_dir: the folder that holds `saved_model.pb`.
        tags: the MetaGraph with exactly these tags is loaded.
        config: a ConfigProto message.

    Attributes:
        meta_graph: the loaded MetaGraphDef.

    Raises:
        StatusError: TensorFlow could not load the model.
    """

    def __init__(self, export_dir: pathlib.Path, tags: Sequence[str] = ("serve",), config: Any = None):
        tf = _library()
        self._outputs: dict[str, _Output] = {}
        self._graph = tf.TF_NewGraph()
        self._session = None
        meta_graph = tf.TF_NewBuffer()
        options = tf.TF_NewSessionOptions()
        try:
            serialized = (config or ConfigProto()).SerializeToString()
            with _checked_status() as status:
                tf.TF_SetConfig(options, serialized, len(serialized), status)
            c_tags = (ctypes.c_char_p * len(tags))(*(tag.encode() for tag in tags))
            with _checked_status() as status:
                self._session = tf.TF_LoadSessionFromSavedModel(
                    options, None, str(export_dir).encode(), c_tags, len(tags), self._graph, meta_graph, status
                )
            contents = meta_graph.contents
            self.meta_graph = MetaGraphDef.FromString(ctypes.string_at(contents.data, contents.length))
        except BaseException:
            self.close()
            raise
        finally:
            tf.TF_DeleteSessionOptions(options)
            tf.TF_DeleteBuffer(meta_graph)

    def run(
        self,
        feeds: Mapping[str, np.ndarray[Any, Any]],
        fetches: Sequence[str],
        timeout_seconds: float | None = None,
    ) -> list[np.ndarray[Any, Any]]:
        """Computes tensors.

        Args:
            feeds: values by tensor name (`x:0`); strings are object arrays of bytes.
            fetches: names of the tensors to compute.
            timeout_seconds: how long it may take; None is no limit.

        Returns:
            The fetched values, in the order of `fetches`.

        Raises:
            StatusError: TensorFlow's own code and words; DEADLINE_EXCEEDED past the timeout.
        """
        tf = _library()
        inputs = (_Output * len(feeds))(*(self._output(name) for name in feeds))
        outputs = (_Output * len(fetches))(*(self._output(name) for name in fetches))
        input_values = (ctypes.c_void_p * len(feeds))()
        output_values = (ctypes.c_void_p * len(fetches))()
        options = _run_options(timeout_seconds)
        try:
            for index, value in enumerate(feeds.values()):
                input_values[index] = _to_tensor(value)
            with _checked_status() as status:
                tf.TF_SessionRun(
                    self._session,
                    options,
                    *(inputs, input_values, len(feeds)),
                    *(outputs, output_values, len(fetches)),
                    *(None, 0, None),
                    status,
                )
            return [_to_array(tensor) for tensor in output_values]
        finally:
            tf.TF_DeleteBuffer(options)
            for tensor in itertools.chain(input_values, output_values):
                tf.TF_DeleteTensor(tensor)

    def _output(self, name: str) -> _Output:
        """The graph's output of a tensor name: `operation:index`, the index 0 when left out."""
        output = self._outputs.get(name)
        if output is None:
            operation_name, _, index = name.partition(":")
            operation = _library().TF_GraphOperationByName(self._graph, operation_name.encode())
            if not operation or not 0 <= int(index or 0) < _library().TF_OperationNumOutputs(operation):
                raise invalid_argument(f"Tensor {name} is named by the model's signature but is not in its graph.")
            output = self._outputs[name] = _Output(operation, int(index or 0))
        return output

    def close(self) -> None:
        """Frees the model's memory. Calling it again does nothing."""
        tf = _library()
        session, self._session = self._session, None
        graph, self._graph = self._graph, None
        if session:
            with _checked_status() as status:
                tf.TF_CloseSession(session, status)
            with _checked_status() as status:
                tf.TF_DeleteSession(session, status)
        if graph:
            tf.TF_DeleteGraph(graph)
            _return_free_memory()


def _return_free_memory() -> None:
    """glibc keeps what was freed for the thread that had it, and each version is loaded by a thread of its own."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim:
        malloc_trim(0)


def _run_options(timeout_seconds: float | None) -> Any:
    if timeout_seconds is None:
        return None
    # 0 would mean no limit, and a deadline that has passed must not become none.
    serialized = RunOptions(timeout_in_ms=max(1, int(timeout_seconds * 1000))).SerializeToString()
    return _library().TF_NewBufferFromString(serialized, len(serialized))


def _to_tensor(array: np.ndarray[Any, Any]) -> Any:
    """A new TF_Tensor with a copy of the array."""
    dtype = tensors.dtype_of_array(array)
    dims = (ctypes.c_int64 * array.ndim)(*array.shape)
    if dtype.is_string:
        return _to_string_tensor(dtype, dims, array)
    array = np.ascontiguousarray(array)
    tensor = _library().TF_AllocateTensor(dtype.number, dims, len(dims), array.nbytes)
    if array.nbytes:
        ctypes.memmove(_library().TF_TensorData(tensor), array.ctypes.data, array.nbytes)
    return tensor


# The memory behind string tensors that TensorFlow still reads, by address, with the places of the long strings.
_string_buffers: dict[int, tuple[np.ndarray[Any, Any], list[int]]] = {}


def _to_string_tensor(dtype: tensors.DType, dims: Any, array: np.ndarray[Any, Any]) -> Any:
    tf = _library()
    values = [value if isinstance(value, bytes) else str(value).encode() for value in array.ravel().tolist()]
    # A TF_TString of zero bytes is a valid empty string, and an address needs at least one.
    buffer = np.zeros((max(1, len(values)), _TSTRING_BYTES), np.uint8)
    address = buffer.ctypes.data
    long_places: list[int] = []
    if values:
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        long_places = np.flatnonzero(lengths > _MAX_SMALL).tolist()
        buffer[:, 0] = np.minimum(lengths, _MAX_SMALL) << 2 | _SMALL
        buffer[:, 1 : _MAX_SMALL + 1] = np.array(values, f"S{_MAX_SMALL}").view(np.uint8).reshape(-1, _MAX_SMALL)
        buffer[long_places] = 0
    for place in long_places:
        tf.TF_StringCopy(address + _TSTRING_BYTES * place, values[place], len(values[place]))
    _string_buffers[address] = (buffer, long_places)
    num_bytes = _TSTRING_BYTES * len(values)
    return tf.TF_NewTensor(dtype.number, dims, len(dims), address, num_bytes, _free_strings, None)


@_Deallocator
def _free_strings(address: int, num_bytes: int, _: Any) -> None:
    """Called by TensorFlow, on any thread, once nothing uses the tensor any more."""
    _, long_places = _string_buffers.pop(address)
    for place in long_places:
        _library().TF_StringDealloc(address + _TSTRING_BYTES * place)


def _to_array(tensor: Any) -> np.ndarray[Any, Any]:
    """A copy of a TF_Tensor."""
    tf = _library()
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
    tf = _library()
    return ctypes.string_at(tf.TF_StringGetDataPointer(address), tf.TF_StringGetSize(address))
