"""No table of a served model is copied at each request, as it would be once ResourceGather has read rows of it."""

import pathlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval.index.partitioned_index import PartitionedIndex
from homefeed.models.shared.gathering import gather_rows
from homefeed.pipeline.runner.root import RunRoot

WHOLE, ROWS = "ReadVariableOp", "ResourceGather"


def readers(signature: Any) -> dict[str, set[str]]:
    """Variable → the ops that read it, wherever a function hands it on to."""
    graph = signature.graph.as_graph_def()
    functions = {function.signature.name: function for function in graph.library.function}
    # Several may have the same name.
    names = {id(variable.handle): f"{variable.name} {id(variable.handle)}" for variable in signature.variables}
    found: dict[str, set[str]] = defaultdict(set)

    def walk(nodes: Iterable[Any], known: Mapping[str, str]) -> None:
        for node in nodes:
            inputs = [known.get(name.split(":")[0], "") for name in node.input if not name.startswith("^")]
            called = [a.func.name for a in node.attr.values() if a.HasField("func")]
            called += [function.name for a in node.attr.values() for function in a.list.func]
            for name in called:
                arguments = functions[name].signature.input_arg
                given = inputs[-len(arguments) :] if arguments else []  # A condition stands before them.
                walk(functions[name].node_def, dict(zip((a.name for a in arguments), given, strict=True)))
            for variable in filter(None, [] if called else inputs):
                found[variable].add(node.op)

    captured = {inner.op.name: names[id(outer)] for outer, inner in signature.graph.captures if id(outer) in names}
    walk(graph.node, captured)
    return found


def copied(folder: pathlib.Path) -> set[str]:
    """Variables of which some signatures read rows, by ResourceGather, and some the whole."""
    ops: dict[str, set[str]] = defaultdict(set)
    loaded = tf.saved_model.load(str(folder))  # Holds the variables.
    for signature in loaded.signatures.values():
        for variable, found in readers(signature).items():
            ops[variable] |= found
    assert any(WHOLE in found for found in ops.values())
    return {variable for variable, found in ops.items() if {WHOLE, ROWS} <= found}


@pytest.mark.parametrize("name", ["retrieval", "ranking", "fused"])
def test_no_table_of_a_served_model_is_copied(sample_root: pathlib.Path, name: str) -> None:
    (version,) = (RunRoot(sample_root).serving / name).glob("[0-9]*")
    assert not copied(version)


def export(module: tf.Module, function: Any, folder: pathlib.Path) -> pathlib.Path:
    module.call = tf.function(
        function, input_signature=[tf.TensorSpec((None, 4)), tf.TensorSpec((None, 2), tf.int32)]
    )
    tf.saved_model.save(module, str(folder), signatures=module.call)
    return folder


def test_no_table_of_a_partitioned_index_is_copied(tmp_path: pathlib.Path) -> None:
    module = tf.Module()
    embeddings = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    module.index = index = PartitionedIndex(embeddings, np.zeros(50, np.int64))

    def ask(queries: tf.Tensor, seen: tf.Tensor) -> dict[str, tf.Tensor]:
        scores, rows = index.search(queries, seen, tf.constant(3))
        return {"scores": scores, "vectors": index.embed(rows), "all": index.scores(queries)}

    assert not copied(export(module, ask, tmp_path))


@pytest.mark.parametrize(("gather", "is_copied"), [(tf.gather, True), (gather_rows, False)])
def test_rows_and_the_whole_of_one_table(gather: Any, is_copied: bool, tmp_path: pathlib.Path) -> None:
    module = tf.Module()
    module.table = table = tf.Variable(np.arange(40, dtype=np.float32).reshape(10, 4), name="table")

    def ask(queries: tf.Tensor, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        best = tf.cond(tf.reduce_any(rows > 5), lambda: gather(table, rows), lambda: gather(table, rows + 1))
        return {"rows": best, "scores": tf.matmul(queries, table, transpose_b=True)}

    assert bool(copied(export(module, ask, tmp_path))) == is_copied
    answers = module.call(tf.zeros((1, 4)), tf.constant([[6, 0]]))
    assert answers["rows"].numpy().tolist() == [[[24, 25, 26, 27], [0, 1, 2, 3]]]
    # A copy is what two reads do not share.
    one, other = (np.asarray(memoryview(table.read_value())) for _ in range(2))
    assert np.shares_memory(one, other) != is_copied
