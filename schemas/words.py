"""Types and names in words, for messages: what was expected, and what may have been meant."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import annotated_types
import pydantic
import pydantic.fields

from homefeed.schemas.settings import Form

_PLAIN = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_LIMITS = {
    annotated_types.Gt: ("gt", "above"),
    annotated_types.Ge: ("ge", "from"),
    annotated_types.Lt: ("lt", "below"),
    annotated_types.Le: ("le", "up to"),
}


def expected(annotation: Any) -> str:
    """What a type admits.

    >>> expected(Annotated[float, pydantic.Field(gt=0, le=1)])
    'a number above 0 and up to 1'
    >>> expected(tuple[Literal["a", "b"], ...])
    'a list such as [x, y], each one of a, b'
    """
    for form in metadata(annotation, Form):
        return str(form.expected)
    for pattern in (part.pattern for part in metadata(annotation, object) if getattr(part, "pattern", None)):
        return f"text that matches {pattern}"
    plain = unannotated(annotation)
    if plain in _PLAIN:
        return _PLAIN[plain] + _limits(annotation)
    origin, parts = typing.get_origin(plain), typing.get_args(plain)
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin in (types.UnionType, typing.Union):
        return " or ".join("nothing" if part is type(None) else expected(part) for part in parts)
    if holds_several(annotation):
        is_list = issubclass(origin, tuple)
        shape = "a list such as [x, y], each" if is_list else "a mapping such as {x: 1}, of names to"
        return f"{shape} {expected(parts[0 if is_list else 1])}"
    return "a mapping of fields"


def at(annotation: Any, place: Sequence[str | int]) -> Any:
    """The type of what lies at a place in a value of some type.

    >>> at(dict[str, tuple[int, ...] | None], ["x", 3])
    <class 'int'>
    """
    for step in place:
        annotation = given(annotation)
        if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
            annotation = typing.get_type_hints(annotation, include_extras=True)[str(step)]
        else:
            annotation = typing.get_args(annotation)[1 if isinstance(step, str) else 0]
    return annotation


def one_line(text: str) -> str:
    """A text that people wrote, as a line of a log or a report: without line breaks and what no screen shows.

    >>> one_line("too slow\\n\\x1b[31m2026: all is well ")
    'too slow [31m2026: all is well'
    """
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def same_but_capitals(names: Iterable[str]) -> dict[str, str]:
    """Name → an earlier one that is the same but for its capitals.

    >>> same_but_capitals(["price", "Paid", "paid", "price", "PAID"])
    {'paid': 'Paid', 'PAID': 'Paid'}
    """
    first: dict[str, str] = {}
    pairs = {name: first.setdefault(name.lower(), name) for name in names}
    return {name: other for name, other in pairs.items() if name != other}


def near(name: str, known: Iterable[str]) -> str:
    """The end of a message on a name that is not known: the nearest one, or all of them.

    >>> near("widht", ["width", "epochs"])
    "; did you mean 'width'?"
    >>> near("k", ["width", "epochs"])
    '; there are epochs, width'
    """
    known = list(known)
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else f"; there are {', '.join(sorted(known)) or 'none'}"


def shown(given: Any) -> str:
    """An offending value."""
    return "nothing" if given is None else f"{given!r:.200}"


def explain(fault: Mapping[str, Any], model: type[pydantic.BaseModel]) -> str:
    """What pydantic says of one value of a model, in the words of somebody who writes the file.

    Args:
        fault: one of a `ValidationError`'s `errors()`.
        model: what was read.
    """
    place = fault["loc"]
    if not place and fault["type"] == "model_type":
        return f"expected a mapping of fields, found {shown(fault['input'])}"
    if not place:
        return str(fault["msg"]).removeprefix("Value error, ")
    if place[-1] == "[key]":  # So pydantic says that a mapping has no such name.
        names = typing.get_args(given(at(model, place[:-2])))[0]
        return f"`{'.'.join(map(str, place[:-2]))}`: expected {expected(names)}, found {shown(fault['input'])}"
    where = ".".join(map(str, place))
    if fault["type"] == "missing":
        return f"`{where}` is missing"
    if fault["type"] == "extra_forbidden":
        return f"`{where}` is unknown{near(str(place[-1]), given(at(model, place[:-1])).model_fields)}"
    if fault["type"] == "value_error":  # A rule of ours.
        return f"`{where}`: {fault['ctx']['error']}, found {shown(fault['input'])}"
    return f"`{where}`: expected {expected(at(model, place))}, found {shown(fault['input'])}"


def metadata(annotation: Any, kind: type[Any]) -> Iterator[Any]:
    """What of a kind stands in an `Annotated`, also inside of pydantic's Field."""
    for extra in getattr(annotation, "__metadata__", ()):
        inner = extra.metadata if isinstance(extra, pydantic.fields.FieldInfo) else [extra]
        yield from (part for part in inner if isinstance(part, kind))


def given(annotation: Any) -> Any:
    """The type of an optional value that is there.

    >>> given(Annotated[int | None, "a number"])
    <class 'int'>
    """
    plain = unannotated(annotation)
    is_optional = typing.get_origin(plain) in (types.UnionType, typing.Union)
    return unannotated(typing.get_args(plain)[0]) if is_optional else plain


def unannotated(annotation: Any) -> Any:
    """A type without what `Annotated` adds."""
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation


def holds_several(annotation: Any) -> bool:
    """Whether it is a list or a mapping."""
    origin = typing.get_origin(unannotated(annotation))
    return isinstance(origin, type) and issubclass(origin, tuple | Mapping)


def _limits(annotation: Any) -> str:
    found = [
        (getattr(limit, attribute), word)
        for kind, (attribute, word) in _LIMITS.items()
        for limit in metadata(annotation, kind)
    ]
    return " and".join(f" {word} {limit:,}" for limit, word in found)
