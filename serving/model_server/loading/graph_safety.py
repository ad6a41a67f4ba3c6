"""Which graphs are not loaded: those with ops that could reach files, the network or Python.

Everything in the SavedModel is looked at, whether it would run or not: each meta graph, its nodes and its library of
functions, which is where branches, loops and initializers are. A few ops that do open files belong to every model,
and are bound to the one place where TensorFlow's loader needs them:

* the ops of a checkpoint run where `saver_def` says, and read the file that the loader names;
* a lookup table is filled, by the initializer, from a file that is an asset of the model.
"""

import os
import pathlib
from collections.abc import Iterator
from typing import Any

from homefeed_client import protos

from homefeed.serving.model_server.errors import Code, StatusError
from homefeed.serving.model_server.loading.allowed_ops import ALLOWED_OPS
from homefeed.serving.model_server.loading.graph_view import GraphView, Place, Reach, with_index
from homefeed.serving.model_server.messages import AssetFileDef

INIT_SIGNATURE = "__saved_model_init_op"

# The place of the file's name among the inputs of the ops that read a file.
_CHECKPOINT_READERS = {"RestoreV2": 0, "Restore": 0, "RestoreSlice": 0}
_TABLE_READERS = {"InitializeTableFromTextFileV2": 1, "InitializeTableFromTextFile": 1}
# The server never saves: these stand in the graph and do not run.
_CHECKPOINT_WRITERS = frozenset({"SaveV2", "Save", "SaveSlices", "MergeV2Checkpoints"})
_DT_RESOURCE = protos.enum("tensorflow.DataType").values_by_name["DT_RESOURCE"].number
_ASSETS_COLLECTION = "saved_model_assets"
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")


def check_assets(meta_graph: Any, path: pathlib.Path) -> None:
    """Looks at the assets of one MetaGraphDef message of the SavedModel at `path`.

    Raises:
        StatusError: PERMISSION_DENIED, one is named by a path.
    """
    for asset in _assets(meta_graph):
        if os.path.isabs(asset.filename) or ".." in pathlib.PurePath(asset.filename).parts:
            words = f"{path} names an asset outside its assets folder: {asset.filename}."
            raise StatusError(Code.PERMISSION_DENIED, f"{words} Publish a folder that is complete in itself.")


def check_ops(meta_graph: Any, path: pathlib.Path) -> None:
    """Looks at the graph and the functions of one MetaGraphDef message of the SavedModel at `path`.

    Raises:
        StatusError: PERMISSION_DENIED, an op is not on the list, or would open a file that is none of the model's.
    """
    view = GraphView(meta_graph.graph_def)
    refused = sorted({place.node.op for place in view.places() if not _is_known(place.node.op, view)})
    refused += [f"{place.node.op} of a resource" for place in view.places() if _forges_a_handle(place.node)]
    if refused:
        raise _denied(f"{path} holds ops that are not on the list of harmless ones: {', '.join(refused)}.")
    _Files(meta_graph, view).check(path)


def _denied(message: str) -> StatusError:
    """The refusal of a model for what it would do."""
    return StatusError(
        Code.PERMISSION_DENIED,
        f"{message} They could reach files, the network or Python. Export the model without them, or start the "
        "server with --allow_file_system_ops if you trust it.",
    )


def _is_known(op: str, view: GraphView) -> bool:
    return (
        op in ALLOWED_OPS
        or op in _CHECKPOINT_READERS
        or op in _TABLE_READERS
        or op in _CHECKPOINT_WRITERS
        or op in view.functions  # Called by its name, as TensorFlow 1 did.
    )


def _forges_a_handle(node: Any) -> bool:
    """Whether it makes up a handle to a variable or table that another op made."""
    return node.op in ("Const", "ParseTensor") and any(value.type == _DT_RESOURCE for value in node.attr.values())


def _assets(meta_graph: Any) -> Iterator[Any]:
    """AssetFileDef messages, also from where TensorFlow 1 kept them."""
    yield from meta_graph.asset_file_def
    for packed in meta_graph.collection_def[_ASSETS_COLLECTION].any_list.value:
        yield AssetFileDef.FromString(packed.value)


class _Files:
    """Holds the ops that open files to where TensorFlow's loader runs them."""

    def __init__(self, meta_graph: Any, view: GraphView):
        saver = meta_graph.saver_def
        signatures = meta_graph.signature_def
        requested = [
            info.name
            for name, signature in signatures.items()
            if name != INIT_SIGNATURE
            for info in signature.outputs.values()
        ]
        initializing = [info.name for info in signatures[INIT_SIGNATURE].outputs.values()]
        initializing += [node for key in _INIT_COLLECTIONS for node in meta_graph.collection_def[key].node_list.value]
        self._view = view
        self._requests, self._init = view.reach(requested), view.reach(initializing)
        self._restore, self._save = view.reach([saver.restore_op_name]), view.reach([saver.save_tensor_name])
        self._checkpoint = frozenset({with_index(saver.filename_tensor_name)})
        self._assets = frozenset(with_index(asset.tensor_info.name) for asset in _assets(meta_graph))

    def check(self, path: pathlib.Path) -> None:
        """Raises PERMISSION_DENIED for the first op that stands elsewhere."""
        for place in self._view.places():
            if not self._is_in_place(place):
                where = f"the function {place.function}" if place.function else "the graph"
                raise _denied(
                    f"{path} uses {place.node.op} (node {place.node.name} of {where}) beyond its own files."
                )

    def _is_in_place(self, place: Place) -> bool:
        op = place.node.op
        if op in _CHECKPOINT_WRITERS:
            return self._runs_only(place, self._save)
        if op in _CHECKPOINT_READERS:
            reads = self._view.comes_from(place, _CHECKPOINT_READERS[op], self._checkpoint)
            return reads and self._runs_only(place, self._restore)
        if op in _TABLE_READERS:
            reads = self._view.comes_from(place, _TABLE_READERS[op], self._assets)
            return reads and self._runs_only(place, self._init)
        return True

    def _runs_only(self, place: Place, there: Reach) -> bool:
        others = [runs for runs in (self._requests, self._init, self._restore, self._save) if runs is not there]
        # Grappler may put such a function in the place of another one.
        is_stand_in = bool(place.function) and "api_implements" in self._view.functions[place.function].attr
        return place in there and not is_stand_in and not any(place in runs for runs in others)
