"""The model server with what guards one request from another taken out, to measure what that costs.

    python -m benchmarks._unguarded FLAGS

The flags are those of our model server. Requests are joined whatever their widths and sizes are, a row that is alone
runs alone, and neither slow callers nor bytes at work are watched.
"""

from __future__ import annotations

import contextlib
import pathlib
import sys
from collections.abc import Iterator
from typing import Any


def without_checks(saved_model: pathlib.Path) -> None:
    """Takes the assertions out of the graph of a SavedModel."""
    from homefeed.serving.model_server.messages import SavedModelProto

    file = saved_model / "saved_model.pb"
    document = SavedModelProto.FromString(file.read_bytes())
    for meta_graph in document.meta_graphs:
        graph = meta_graph.graph_def
        for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
            for node in nodes:
                if node.op == "Assert":
                    node.op = "NoOp"
                    del node.input[:]
                    node.attr.clear()
    file.write_bytes(document.SerializeToString())


def _take_out() -> None:
    from homefeed.serving.model_server.api.grpc_calls import CallWatch
    from homefeed.serving.model_server.execution import batch_rows
    from homefeed.serving.model_server.execution.batching_parameters import Parameters
    from homefeed.serving.model_server.intake import Intake

    @contextlib.contextmanager
    def unwatched(*_: Any) -> Iterator[None]:
        yield

    def kind(feeds: Any, shapes: Any, *, pads: bool) -> Any:
        return tuple(sorted((name, value.dtype.str) for name, value in feeds.items()))

    def padded_size(self: Parameters, size: int, **_: Any) -> int:
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), size)

    for owner, name, replacement in (
        (batch_rows, "kind", kind),
        (Parameters, "padded_size", padded_size),
        (Intake, "working", unwatched),
        (CallWatch, "receiving", unwatched),
        (CallWatch, "answered", lambda *_: None),
    ):
        assert hasattr(owner, name)
        setattr(owner, name, replacement)


if __name__ == "__main__":
    _take_out()
    from homefeed.serving.model_server.main import main

    sys.exit(main())
