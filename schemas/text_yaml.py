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


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen:
            raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
        seen.add(key.value)
    return {loader.construct_object(key, deep=True): loader.construct_object(v, deep=True) for key, v in node.value}


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def load(text: str) -> Any:
    """The value of a YAML document: text, None, or lists and dicts of these.

    Raises:
        yaml.YAMLError: it is no YAML, or a key is given twice.

    >>> load("{spans: 3:7, allowed: [no, 1_000], count: 2, nothing: }")
    {'spans': '3:7', 'allowed': ['no', '1_000'], 'count': '2', 'nothing': None}
    """
    return yaml.load(text, _Loader)
