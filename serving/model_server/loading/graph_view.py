"""A GraphDef seen by what calls what: which nodes an op makes run, and where an input comes from."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
# Identities and calls between an input and where it comes from; real models have two or three.
_MAX_STEPS = 50


@dataclasses.dataclass(frozen=True)
class Place:
    """A node and the function that it stands in; "" is the graph itself."""

    function: str
    node: Any


@dataclasses.dataclass(frozen=True)
class Reach:
    """What runs together: nodes of the graph, and functions as a whole."""

    nodes: frozenset[str]
    functions: frozenset[str]

    def __contains__(self, place: Place) -> bool:
        return place.function in self.functions if place.function else place.node.name in self.nodes


class GraphView:
    """A GraphDef message with its library.

    Attributes:
        functions: the library's FunctionDef messages by name.
    """

    def __init__(self, graph_def: Any):
        self.functions = {function.signature.name: function for function in graph_def.library.function}
        self._graph_def = graph_def
        self._nodes: dict[str, dict[str, Any]] = collections.defaultdict(dict)
        self._callers: dict[str, list[Place]] = collections.defaultdict(list)
        # What each function calls, and each node of the graph.
        self._callees: dict[str, set[str]] = collections.defaultdict(set)
        self._called_by_node: dict[str, set[str]] = {}
        for place in self.places():
            self._nodes[place.function][place.node.name] = place.node
            called = self._called(place.node)
            self._callees[place.function] |= called
            if not place.function:
                self._called_by_node[place.node.name] = called
            for name in called:
                self._callers[name].append(place)

    def places(self) -> Iterator[Place]:
        """Every node of the graph and of its functions."""
        for node in self._graph_def.node:
            yield Place("", node)
        for function in self._graph_def.library.function:
            for node in function.node_def:
                yield Place(function.signature.name, node)

    def _called(self, node: Any) -> set[str]:
        """The functions that a node names: to call, as a branch, as a loop's body."""
        names = {node.op}
        for value in node.attr.values():
            names.add(value.func.name)
            names.update(function.name for function in value.list.func)
        return names & self.functions.keys()

    def reach(self, tensors: Iterable[str]) -> Reach:
        """What runs when these ops or tensors of the graph are computed; of a function that is called, everything."""
        nodes: set[str] = set()
        functions: set[str] = set()
        pending = [_node_name(tensor) for tensor in tensors]
        while pending:
            name = pending.pop()
            if name in nodes or name not in self._nodes[""]:
                continue
            nodes.add(name)
            pending.extend(map(_node_name, self._nodes[""][name].input))
            functions |= self._called_by_node[name]
        return Reach(frozenset(nodes), self._with_callees(functions))

    def _with_callees(self, functions: set[str]) -> frozenset[str]:
        found: set[str] = set()
        pending = list(functions)
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending.extend(self._callees[name])
        return frozenset(found)

    def comes_from(self, place: Place, index: int, tensors: frozenset[str], steps: int = 0) -> bool:
        """Whether an input of a node is one of these tensors of the graph, handed on unchanged by whoever calls.

        Args:
            place: the node.
            index: the place of the input among its data inputs.
            tensors: names with an index, `x:0`.
            steps: how far it was followed already.
        """
        inputs = [name for name in place.node.input if not name.startswith("^")]
        if index >= len(inputs) or steps > _MAX_STEPS:
            return False
        name = inputs[index]
        if not place.function and with_index(name) in tensors:
            return True
        producer = self._nodes[place.function].get(_node_name(name))
        if producer is not None and producer.op == "Identity":
            return self.comes_from(Place(place.function, producer), 0, tensors, steps + 1)
        if producer is not None:
            return bool(producer.op == "ReadVariableOp") and self._holds_only(producer.input[0], tensors)
        arguments = [argument.name for argument in self._arguments(place.function)]
        callers = self._callers[place.function]
        return (
            name in arguments
            and bool(callers)
            and all(
                self._is_direct(caller, place.function)
                and self.comes_from(caller, arguments.index(name), tensors, steps + 1)
                for caller in callers
            )
        )

    def _holds_only(self, variable: str, tensors: frozenset[str]) -> bool:
        """Whether a variable of the graph is given nothing but these: where TensorFlow 2 keeps an asset's path."""
        handle = self._nodes[""].get(_node_name(variable))
        if handle is None or handle.op != "VarHandleOp" or not self._is_only_handle(handle):
            return False
        for node in self._nodes[""].values():
            inputs = [with_index(name) for name in node.input if not name.startswith("^")]
            if f"{handle.name}:0" not in inputs or node.op in ("ReadVariableOp", "VarIsInitializedOp"):
                continue
            if node.op != "AssignVariableOp" or inputs[1] not in tensors:
                return False
        return True

    def _is_only_handle(self, handle: Any) -> bool:
        """Whether no other op means the same variable: they do when they share a name."""
        name = handle.attr["shared_name"].s
        handles = [place.node for place in self.places() if place.node.op == "VarHandleOp"]
        return bool(name) and sum(node.attr["shared_name"].s == name for node in handles) == 1

    def _arguments(self, function: str) -> Any:
        return self.functions[function].signature.input_arg if function else ()

    def _is_direct(self, caller: Place, function: str) -> bool:
        """Whether a caller's inputs are the function's arguments, one to one."""
        return caller.node.op in _CALLS or caller.node.op == function


def with_index(tensor: str) -> str:
    """The name of an op's first output in full: `x` is `x:0`."""
    return tensor if ":" in tensor else f"{tensor}:0"


def _node_name(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]
