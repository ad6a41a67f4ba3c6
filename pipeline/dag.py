"""A pipeline as data: which component reads which output of which other. Every runner works from this."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

from homefeed.components.artifacts.types import Artifact
from homefeed.components.contract import Component, component


@dataclasses.dataclass(frozen=True)
class Channel:
    """One output of one node, before anything has run."""

    node: str
    output: str
    type: type[Artifact]


@dataclasses.dataclass(frozen=True)
class Node:
    """A component in its place: each input comes from a channel or from outside."""

    component: Component
    inputs: dict[str, Channel | Artifact]

    @property
    def name(self) -> str:
        """The component's name: a pipeline holds each component once."""
        return self.component.name


class Dag:
    """Nodes in an order in which they can run: a node can only name outputs of nodes added before it.

    Args:
        check: the rules between components: component → Config in, what is against them out.
    """

    def __init__(self, check: Callable[[Mapping[str, Any]], list[str]] = lambda configs: []) -> None:
        self.nodes: list[Node] = []
        self.check = check

    def add(self, module: ModuleType, **inputs: Channel | Artifact) -> SimpleNamespace:
        """Adds a component and returns its output channels, by name.

        Raises:
            TypeError: the inputs are not those of the component's `Inputs`, or have other types.
        """
        part = component(module)
        _check(part, inputs)
        self.nodes.append(Node(part, inputs))
        outputs = part.output_types.items()
        return SimpleNamespace(**{name: Channel(part.name, name, type_) for name, type_ in outputs})

    def names(self) -> list[str]:
        """The components' names, in order."""
        return [node.name for node in self.nodes]


def _check(part: Component, inputs: dict[str, Channel | Artifact]) -> None:
    expected = part.input_types
    if inputs.keys() != expected.keys():
        raise TypeError(f"{part.title} takes the inputs {sorted(expected)} but was wired to {sorted(inputs)}")
    for name, source in inputs.items():
        given = source.type if isinstance(source, Channel) else type(source)
        if not issubclass(given, expected[name]):
            raise TypeError(f"{part.title}.{name} takes {expected[name].__name__}, not {given.__name__}")
