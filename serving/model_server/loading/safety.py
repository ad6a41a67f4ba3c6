"""Which model folders are not loaded: those that reach beyond themselves, or lack their variables.

A published model is data from somewhere else. What it may not do is lead the server, or the server's requests, to
files that are none of its own.
"""

import os
import pathlib
from typing import Any

from google.protobuf.message import DecodeError

from homefeed.serving.model_server.errors import Code, StatusError, invalid_argument
from homefeed.serving.model_server.messages import SavedModelProto

_SAVED_MODEL = "saved_model.pb"
_VARIABLES = "variables/variables.index"

# Ops that open files, ports or the Python interpreter while a request runs. Loading needs none of them: variables
# come in by RestoreV2 and vocabularies by their tables, from the model's own folder.
_UNSAFE_OPS = frozenset(
    {
        "ReadFile",
        "WriteFile",
        "MatchingFiles",
        "FixedLengthRecordReader",
        "FixedLengthRecordReaderV2",
        "IdentityReader",
        "IdentityReaderV2",
        "LMDBReader",
        "TextLineReader",
        "TextLineReaderV2",
        "TFRecordReader",
        "TFRecordReaderV2",
        "WholeFileReader",
        "WholeFileReaderV2",
        "TextLineDataset",
        "TFRecordDataset",
        "FixedLengthRecordDataset",
        "FixedLengthRecordDatasetV2",
        "SqlDataset",
        "MatchingFilesDataset",
        "PyFunc",
        "PyFuncStateless",
        "EagerPyFunc",
        "RpcCall",
        "RpcServer",
        "DataServiceDataset",
    }
)


def check(version_path: pathlib.Path, base_path: pathlib.Path, *, allow_file_system_ops: bool = False) -> None:
    """Looks at a version's folder before it is loaded.

    Args:
        version_path: the folder of one version.
        base_path: the folder of all versions of the model.
        allow_file_system_ops: accept graphs that open files while they run.

    Raises:
        StatusError: PERMISSION_DENIED, a link leads out of the folder, an asset is named by a path, or the graph
            would open files; DATA_LOSS, its variables have no values; INVALID_ARGUMENT, it does not parse.
    """
    root = os.path.realpath(base_path)
    if not _is_inside(os.path.realpath(version_path), root):
        raise _denied(f"The version folder {version_path} is a link that leads out of {base_path}.")
    for folder, subfolders, files in os.walk(version_path):
        for name in [*subfolders, *files]:
            path = os.path.join(folder, name)
            if os.path.islink(path) and not _is_inside(os.path.realpath(path), root):
                raise _denied(f"{path} is a link that leads out of {base_path}.")
    saved_model = version_path / _SAVED_MODEL
    if saved_model.is_file():
        _check_graph(saved_model, allow_file_system_ops)


def _is_inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _denied(message: str) -> StatusError:
    return StatusError(Code.PERMISSION_DENIED, f"{message} Publish a folder that is complete in itself.")


def _check_graph(path: pathlib.Path, allow_file_system_ops: bool) -> None:
    try:
        saved_model = SavedModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise invalid_argument(f"{path} is not a SavedModel: {error}") from error
    for meta_graph in saved_model.meta_graphs:
        for asset in meta_graph.asset_file_def:
            if os.path.isabs(asset.filename) or ".." in pathlib.PurePath(asset.filename).parts:
                raise _denied(f"{path} names an asset outside its assets folder: {asset.filename}.")
        graph = meta_graph.graph_def
        # TensorFlow would load it all the same, and then fail every request.
        if "VarHandleOp" in _ops(graph.node) and not (path.parent / _VARIABLES).is_file():
            raise StatusError(Code.DATA_LOSS, f"{path} holds variables, but {_VARIABLES} beside it is missing.")
        unsafe = _UNSAFE_OPS.intersection(_ops(graph.node))
        for function in graph.library.function:
            unsafe |= _UNSAFE_OPS.intersection(_ops(function.node_def))
        if unsafe and not allow_file_system_ops:
            raise StatusError(
                Code.PERMISSION_DENIED,
                f"{path} holds ops that could open files for a request: {', '.join(sorted(unsafe))}. Export the "
                "model without them, or start the server with --allow_file_system_ops if you trust it.",
            )


def _ops(nodes: Any) -> set[str]:
    return {node.op for node in nodes}
