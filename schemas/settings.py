"""Types of settings: what a value may be stands in the type of its field, and its meaning in the comment behind it.

A Config is a frozen dataclass with a default for every field, and perhaps a method `check` for rules between fields:

    @dataclasses.dataclass(frozen=True)
    class Config:
        width: Count = 64  # Size of an embedding.
        num_heads: Count = 2  # Attention heads a layer.

        def check(self) -> list[str]:
            return divisible(self, "width", "num_heads")
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
"""0 means none, or all; the comment behind the field says which."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
"""A share that is never the whole."""
LearningRate = Annotated[float, Field(gt=0, le=1)]
Margin = Annotated[float, Field(le=1, allow_inf_nan=False)]
"""A relative loss that is borne; a negative one asks for a gain."""
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
AtLeastOne = Annotated[float, Field(ge=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclasses.dataclass(frozen=True)
class Form:
    """What a text must look like, in its field's type: `Annotated[str, Form("env:NAME", is_env)]`.

    Attributes:
        expected: for people, as in "expected …, got 'x'".
        accepts: text → whether it may be, as a truth value.
        on_this_machine: whether that depends on this machine's disk and environment, where a run elsewhere cannot
            be judged.
    """

    expected: str
    accepts: Callable[[str], object]
    on_this_machine: bool = False


def _is_folder(text: str) -> bool:
    return not text or pathlib.Path(text).is_dir()


FolderOrNone = Annotated[str, Form("a folder that is there, or nothing", _is_folder, on_this_machine=True)]


def at_most(config: Any, part: str, whole: str) -> list[str]:
    """The rule that one field is no larger than another."""
    value, limit = getattr(config, part), getattr(config, whole)
    return [f"{part} should be at most {whole} ({limit}), got {value}"] if value > limit else []


def divisible(config: Any, width: str, parts: str) -> list[str]:
    """The rule that one field is a multiple of another."""
    whole, part = getattr(config, width), getattr(config, parts)
    fits = max(part, whole - whole % part)
    return [f"{width} should be a multiple of {parts} ({part}), such as {fits}, got {whole}"] if whole % part else []
