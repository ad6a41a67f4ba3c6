"""A field of a Config: its meaning from the comment, its value by its type."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest

from homefeed.pipeline.config.fields import meanings_of, settings_of
from homefeed.schemas.settings import Count, FolderOrNone, Form, Share


@dataclasses.dataclass(frozen=True)
class Run:
    seed: Count = 1  # Of everything.


@dataclasses.dataclass(frozen=True)
class Config(Run):
    # A heading.

    # Above it, because
    # it is long.
    name: str = ""
    bare: int = 0
    share: Share = 0.5  # Behind # it.
    several: tuple[str, ...] = (
        "a",  # The first,
        "b",  # and the second.
    )
    weights: Mapping[str, Share] = dataclasses.field(default_factory=lambda: {"x": 0.1})  # One each.
    is_on: bool = True  # Or off.
    kind: Literal["late", "cross"] = "late"  # Of two.
    key: Annotated[str, Form("upper case", str.isupper)] = "A"  # Shouted.
    folder: FolderOrNone = ""  # On this machine.


SETTINGS = settings_of(Config)


def test_a_meaning_is_the_comment_behind_or_else_right_above() -> None:
    assert meanings_of(Config) == {
        "name": "Above it, because it is long.",
        "bare": "",
        "share": "Behind # it.",
        "several": "The first, and the second.",
        "weights": "One each.",
        "is_on": "Or off.",
        "kind": "Of two.",
        "key": "Shouted.",
        "folder": "On this machine.",
    }


def test_inherited_fields_know_who_declares_them() -> None:
    assert (SETTINGS["seed"].owner, SETTINGS["seed"].meaning) == (Run, "Of everything.")
    assert SETTINGS["share"].owner is Config
    assert SETTINGS["weights"].default == {"x": 0.1} and SETTINGS["weights"].shown_default == '{"x": 0.1}'


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("name", "no", "no"),
        ("name", "3:7", "3:7"),
        ("name", "1_000", "1_000"),
        ("name", "[a, b]", "[a, b]"),
        ("name", "", ""),
        ("name", 7, "7"),  # As a program gives it.
        ("bare", "1_000", 1000),
        ("share", "1e-1", 0.1),
        ("several", "[no, 3:7]", ("no", "3:7")),
        ("several", '["--a=b", "\\ud83d\\ude00"]', ("--a=b", "😀")),
        ("several", ["x"], ("x",)),
        ("several", "[]", ()),
        ("weights", "{no: 1, yes: 0.5}", {"no": 1.0, "yes": 0.5}),
        ("weights", '{"x": 0}', {"x": 0.0}),
        ("is_on", "no", False),
        ("is_on", "True", True),
        ("kind", "cross", "cross"),
        ("key", "ABC", "ABC"),
    ],
)
def test_a_value_is_read_by_the_type_of_its_field(name: str, text: Any, value: Any) -> None:
    assert SETTINGS[name].read(text) == value


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("bare", "1.5", "a whole number"),
        ("bare", "", "a whole number"),
        ("bare", None, "a whole number"),
        ("seed", "0", "a whole number from 1"),
        ("share", "2", "a number from 0 and up to 1"),
        ("share", "nan", "a number from 0 and up to 1"),
        ("share", "inf", "a number from 0 and up to 1"),
        ("name", None, "text"),
        ("name", ["a"], "text"),
        ("several", "x", "a list"),
        ("several", "[a", "a list"),
        ("several", "{a: b}", "a list"),
        ("weights", "{x: 2}", "a mapping"),
        ("is_on", "maybe", "true or false"),
        ("kind", "later", "one of late, cross"),
        ("key", "abc", "upper case"),
        ("folder", "/nowhere", "a folder that is there"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_expected(name: str, given: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=r"expected .*, got ") as error:
        SETTINGS[name].read(given)
    said = str(error.value)
    assert said.startswith(f"expected {expected}") and said.endswith("nothing" if given is None else repr(given))
    assert "\n" not in said and "pydantic" not in said


def test_paths_are_not_looked_for_where_the_run_is_elsewhere(tmp_path: pathlib.Path) -> None:
    assert SETTINGS["folder"].read("/nowhere", elsewhere=True) == "/nowhere"
    assert SETTINGS["folder"].read(str(tmp_path)) == str(tmp_path)
    with pytest.raises(ValueError, match="upper case"):
        SETTINGS["key"].read("abc", elsewhere=True)  # That does not depend on the machine.


def test_editors_get_limits_choices_meaning_and_default() -> None:
    assert SETTINGS["share"].json_schema == {
        "type": "number", "minimum": 0, "maximum": 1, "description": "Behind # it.", "default": 0.5,
    }  # fmt: skip
    assert SETTINGS["kind"].json_schema["enum"] == ["late", "cross"]
