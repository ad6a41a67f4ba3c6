"""The fields of a Config: what each may be, what it means, and how a value is read."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import io
import json
import textwrap
import tokenize
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic
import yaml

from homefeed.schemas import text_yaml
from homefeed.schemas.settings import Form
from homefeed.schemas.words import expected, holds_several, metadata, shown

REQUIRED = object()
"""The default of a field that has none."""
READING = pydantic.ConfigDict(coerce_numbers_to_str=True)  # `spans=7` means the span 7, in Python too.


@dataclasses.dataclass(frozen=True)
class Setting:
    """One field.

    Attributes:
        name: the field's.
        type: as it is annotated, with what it may be.
        default: used where nothing is given.
        owner: the class that declares it: a Config may inherit fields.
    """

    name: str
    type: Any
    default: Any
    owner: type[Any]

    @property
    def expected(self) -> str:
        """What a value may be, for people: as in "expected a number above 0, got -1"."""
        return expected(self.type)

    @property
    def meaning(self) -> str:
        """The comment behind the field, or in the lines above it."""
        return meanings_of(self.owner)[self.name]

    @property
    def shown_default(self) -> str:
        """The default, as it is written in a configuration."""
        if self.default is REQUIRED:
            return "required"
        if isinstance(self.default, pydantic.BaseModel):
            return "{}"
        plain = list(self.default) if isinstance(self.default, tuple) else self.default
        return json.dumps(plain, ensure_ascii=False) if not isinstance(plain, str) or not plain else plain

    @property
    def json_schema(self) -> dict[str, Any]:
        """For editors."""
        schema = pydantic.TypeAdapter(self.type).json_schema() | {"description": self.meaning}
        return schema if self.default is REQUIRED else schema | {"default": self.default}

    def read(self, given: Any, elsewhere: bool = False) -> Any:
        """A value of the field's type.

        Args:
            given: text, or what a program gives.
            elsewhere: the run is on another machine, so that paths are not looked for on this one.

        Raises:
            ValueError: it is none; the text says what was expected.
        """
        try:
            value = _adapter(self.type).validate_python(_parsed(given) if holds_several(self.type) else given)
        except (pydantic.ValidationError, yaml.YAMLError) as error:
            raise ValueError(f"expected {self.expected}, got {shown(given)}") from error
        for form in metadata(self.type, Form):
            if not (elsewhere and form.on_this_machine) and not form.accepts(value):
                raise ValueError(f"expected {form.expected}, got {shown(given)}")
        return value


def settings_of(cls: type[Any]) -> dict[str, Setting]:
    """The fields of a dataclass or a pydantic model, by name."""
    types_of = typing.get_type_hints(cls, include_extras=True)
    owners = {name: base for base in reversed(cls.__mro__) for name in vars(base).get("__annotations__", ())}
    return {name: Setting(name, types_of[name], default, owners[name]) for name, default in _defaults(cls)}


def meanings_of(cls: type[Any]) -> dict[str, str]:
    """Annotated name of a class's own body → the comment behind it, or else in the lines above it."""
    source = textwrap.dedent(inspect.getsource(cls))
    comments: dict[int, str] = {}
    alone = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("#").strip()
            if not token.line[: token.start[1]].strip():
                alone.add(token.start[0])
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    return {
        node.target.id: " ".join(_comments(node, comments, alone))
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def _comments(node: ast.AnnAssign, comments: Mapping[int, str], alone: set[int]) -> list[str]:
    behind = [comments[line] for line in range(node.lineno, (node.end_lineno or 0) + 1) if line in comments]
    above: list[str] = []
    while not behind and node.lineno - len(above) - 1 in alone:
        above.insert(0, comments[node.lineno - len(above) - 1])
    return behind or above


def _defaults(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    if issubclass(cls, pydantic.BaseModel):
        for name, field in cls.model_fields.items():
            yield name, REQUIRED if field.is_required() else field.get_default(call_default_factory=True)
        return
    for declared in dataclasses.fields(cls):
        factory = declared.default_factory
        yield declared.name, declared.default if factory is dataclasses.MISSING else factory()


@functools.cache
def _adapter(annotation: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(annotation, config=READING)


def _parsed(given: Any) -> Any:
    """Of text, the list or mapping that it writes, in JSON or YAML."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except json.JSONDecodeError:
        return text_yaml.load(given)
