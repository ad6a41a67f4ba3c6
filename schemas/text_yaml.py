"""YAML whose scalars are text: what a value is, its field's type decides and not what the text looks like.

YAML 1.1 reads `no` as false, `3:7` as 187, `1_000` as 1000 and `2025-01-08` as a date.
"""

from __future__ import annotations

from typing import Any

import yaml


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


def load(text: str) -> Any:
    """The value of a YAML document: text, None, or lists and dicts of these.

    Raises:
        yaml.YAMLError: it is no YAML, or a key is given twice or no text.

    >>> load("{spans: 3:7, allowed: [no, 1_000], count: 2, nothing: }")
    {'spans': '3:7', 'allowed': ['no', '1_000'], 'count': '2', 'nothing': None}
    """
    try:
        return yaml.load(text, _Loader)
    except RecursionError as error:
        raise yaml.YAMLError("it has too many levels") from error
