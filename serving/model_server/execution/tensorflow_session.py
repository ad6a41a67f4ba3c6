"""A SavedModel in a TensorFlow session."""

import ctypes
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from homefeed.serving.model_server.errors import invalid_argument
from homefeed.serving.model_server.execution.c_api import Output, checked_status, library
from homefeed.serving.model_server.execution.c_tensors import to_array, to_tensor
from homefeed.serving.model_server.messages import ConfigProto, MetaGraphDef, RunOptions


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
        tf = library()
        self._outputs: dict[str, Output] = {}
        self._graph = tf.TF_NewGraph()
        self._session = None
        meta_graph = tf.TF_NewBuffer()
        options = tf.TF_NewSessionOptions()
        try:
            serialized = (config or ConfigProto()).SerializeToString()
            with checked_status() as status:
                tf.TF_SetConfig(options, serialized, len(serialized), status)
            c_tags = (ctypes.c_char_p * len(tags))(*(tag.encode() for tag in tags))
            with checked_status() as status:
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
        tf = library()
        inputs = (Output * len(feeds))(*(self._output(name) for name in feeds))
        outputs = (Output * len(fetches))(*(self._output(name) for name in fetches))
        input_values = (ctypes.c_void_p * len(feeds))()
        output_values = (ctypes.c_void_p * len(fetches))()
        options = _run_options(timeout_seconds)
        try:
            for index, value in enumerate(feeds.values()):
                input_values[index] = to_tensor(value)
            with checked_status() as status:
                tf.TF_SessionRun(
                    self._session,
                    options,
                    *(inputs, input_values, len(feeds)),
                    *(outputs, output_values, len(fetches)),
                    *(None, 0, None),
                    status,
                )
            return [to_array(tensor) for tensor in output_values]
        finally:
            tf.TF_DeleteBuffer(options)
            for tensor in itertools.chain(input_values, output_values):
                tf.TF_DeleteTensor(tensor)

    def _output(self, name: str) -> Output:
        """The graph's output of a tensor name: `operation:index`, the index 0 when left out."""
        output = self._outputs.get(name)
        if output is None:
            operation_name, _, index = name.partition(":")
            operation = library().TF_GraphOperationByName(self._graph, operation_name.encode())
            if not operation or not 0 <= int(index or 0) < library().TF_OperationNumOutputs(operation):
                raise invalid_argument(f"Tensor {name} is named by the model's signature but is not in its graph.")
            output = self._outputs[name] = Output(operation, int(index or 0))
        return output

    def close(self) -> None:
        """Frees the model's memory. Calling it again does nothing."""
        tf = library()
        session, self._session = self._session, None
        graph, self._graph = self._graph, None
        if session:
            with checked_status() as status:
                tf.TF_CloseSession(session, status)
            with checked_status() as status:
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
    return library().TF_NewBufferFromString(serialized, len(serialized))
