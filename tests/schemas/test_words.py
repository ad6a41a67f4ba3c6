"""What a type admits, and what may have been meant."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
import pytest

from homefeed.schemas import settings, words
from homefeed.schemas.dataset import Dataset


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (settings.Count, "a whole number from 1"),
        (settings.Seed, "a whole number from 0 and below 4,294,967,296"),
        (settings.Fraction, "a number from 0 and below 1"),
        (settings.LearningRate, "a number above 0 and up to 1"),
        (settings.Weight, "a number from 0"),
        (bool, "true or false"),
        (str, "text"),
        (Literal["late", "cross"], "one of late, cross"),
        (tuple[str, ...], "a list such as [x, y], each text"),
        (Mapping[str, settings.Weight], "a mapping such as {x: 1}, of names to a number from 0"),
        (int | None, "a whole number or nothing"),
        (Annotated[str, pydantic.Field(pattern="^a+$")], "text that matches ^a+$"),
        (Annotated[str, settings.Form("env:NAME", str.isupper)], "env:NAME"),
        (Dataset, "a mapping of fields"),
    ],
)
def test_expected(annotation: Any, text: str) -> None:
    assert words.expected(annotation) == text


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (("max_bad_fraction",), "a number from 0 and up to 1"),
        (("items", "features", "price", "min"), "a number or nothing"),
        (("interactions", "header", 0), "text"),
    ],
)
def test_the_type_at_a_place(place: tuple[str | int, ...], text: str) -> None:
    assert words.expected(words.at(Dataset, place)) == text


def test_an_offending_value_is_cut_and_nothing_has_a_name() -> None:
    assert words.shown("x" * 1000) == "'" + "x" * 199
    assert words.shown(None) == "nothing"
