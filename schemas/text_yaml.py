"""YAML whose scalars are text: what a value is, its field's type decides and not what the text looks like.

YAML 1.1 reads `no` as false, `3:7` as 187, `1_000` as 1000 and `2025-01-08` as a date.
"""

from __future__ import annotations

from typing import Any

import yaml

MAX_VALUES = 1_000_000


class _Loader(yaml.SafeLoader):
    """Knows text, lists, mappings and null."""

    yaml_implicit_resolvers = {  # noqa: RUF012  As its base has it.
        first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:null"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key that is a list or a mapping", key.start_mark)
        if key.value in found:
            raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
        found[key.value] = loader.construct_object(value, deep=True)
    return found


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Values below a node, with those that its aliases repeat; who holds itself is refused later."""
    if id(node) not in known:
        known[id(node)] = 0
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(_size(part, known) for part in parts))
    return known[id(node)]


def load(text: str) -> Any:
    """The value of a YAML document: text, None, or lists and dicts of these.

    Raises:
        yaml.YAMLError: it is no YAML, or a key is given twice or no text, or it has too many levels or values.

    >>> load("{spans: 3:7, allowed: [no, 1_000], count: 2, nothing: }")
    {'spans': '3:7', 'allowed': ['no', '1_000'], 'count': '2', 'nothing': None}
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > MAX_VALUES:
            raise yaml.YAMLError(f"it has more than {MAX_VALUES:,} values, aliases counted out")
        return loader.construct_document(node)
    except RecursionError as error:
        raise yaml.YAMLError("it has too many levels") from error
