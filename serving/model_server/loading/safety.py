"""Checks of a model folder before it is loaded: links and assets outside it, missing variables, file ops.

A published model is data from somewhere else. What it may not do is lead the server, or the server's requests, to
files that are none of its own.
"""

import os
import pathlib
from collections.abc import Iterator
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError
from homefeed_client import protos

from homefeed.serving.model_server.errors import Code, StatusError, invalid_argument
from homefeed.serving.model_server.loading import graph_safety
from homefeed.serving.model_server.messages import SavedModelProto

# TensorFlow's loader takes the first of these that is there.
_BINARY, _TEXT = "saved_model.pb", "saved_model.pbtxt"
# A form in several files, which no stock server loads either.
_CHUNKED = "saved_model.cpb"
_VARIABLES = "variables/variables.index"
_VARIABLE_OPS = frozenset({"VarHandleOp", "VariableV2", "Variable"})


def check(version_path: pathlib.Path, base_path: pathlib.Path, *, allow_file_system_ops: bool = False) -> None:
    """Looks at a version's folder before it is loaded.

    Args:
        version_path: the folder of one version.
        base_path: the folder of all versions of the model.
        allow_file_system_ops: accept any op.

    Raises:
        StatusError: PERMISSION_DENIED, a link leads out of the folder, something is no plain file, an asset is named
            by a path, or an op is not known to be harmless; DATA_LOSS, its variables have no values;
            INVALID_ARGUMENT, it does not parse.
    """
    root = os.path.realpath(base_path)
    if not _is_inside(os.path.realpath(version_path), root):
        raise _denied(f"The version folder {version_path} is a link that leads out of {base_path}.")
    for folder, subfolders, files in os.walk(version_path):
        for name in [*subfolders, *files]:
            path = os.path.join(folder, name)
            if os.path.islink(path) and not _is_inside(os.path.realpath(path), root):
                raise _denied(f"{path} is a link that leads out of {base_path}.")
            # Opening a pipe would wait for its writer for ever.
            if not os.path.isfile(path) and not os.path.isdir(path):
                raise _denied(f"{path} is neither a file nor a folder.")
    for meta_graph in _meta_graphs(version_path):
        graph_safety.check_assets(meta_graph, version_path)
        _check_variables(meta_graph, version_path)
        if not allow_file_system_ops:
            graph_safety.check_ops(meta_graph, version_path)


def _is_inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _denied(message: str) -> StatusError:
    return StatusError(Code.PERMISSION_DENIED, f"{message} Publish a folder that is complete in itself.")


def _meta_graphs(version_path: pathlib.Path) -> Iterator[Any]:
    """The meta graphs that TensorFlow's loader would see; none where it finds no SavedModel."""
    binary, text = version_path / _BINARY, version_path / _TEXT
    if (version_path / _CHUNKED).exists():
        raise _denied(f"{version_path} holds a SavedModel in chunks ({_CHUNKED}), which is not served.")
    try:
        if binary.is_file():
            yield from SavedModelProto.FromString(binary.read_bytes()).meta_graphs
        elif text.is_file():
            document = text_format.Parse(
                text.read_bytes(), SavedModelProto(), allow_unknown_field=True, descriptor_pool=protos.POOL
            )
            yield from document.meta_graphs
    except (DecodeError, text_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise invalid_argument(f"{version_path} does not hold a SavedModel: {error}") from error


def _check_variables(meta_graph: Any, version_path: pathlib.Path) -> None:
    """TensorFlow would load a model without the values of its variables, and then fail every request."""
    graph = meta_graph.graph_def
    ops = {node.op for node in graph.node}
    ops.update(node.op for function in graph.library.function for node in function.node_def)
    is_restored = bool(meta_graph.saver_def.restore_op_name)
    if is_restored and _VARIABLE_OPS & ops and not (version_path / _VARIABLES).is_file():
        raise StatusError(Code.DATA_LOSS, f"{version_path} holds variables, but {_VARIABLES} in it is missing.")
