"""Rules between fields, and what a text must look like."""

import dataclasses
import pathlib

import pytest

from homefeed.schemas.settings import FolderOrNone, Form, at_most, divisible
from homefeed.schemas.words import metadata


@dataclasses.dataclass(frozen=True)
class Config:
    width: int
    heads: int


@pytest.mark.parametrize(("width", "heads", "fits"), [(65, 2, 64), (7, 4, 4), (3, 4, 4), (100, 32, 96)])
def test_a_width_that_heads_cannot_share_is_refused_with_one_that_they_can(width: int, heads: int, fits: int) -> None:
    (mistake,) = divisible(Config(width, heads), "width", "heads")
    assert mistake == f"width should be a multiple of heads ({heads}), such as {fits}, got {width}"
    assert fits % heads == 0


def test_what_fits_is_no_mistake() -> None:
    assert divisible(Config(64, 4), "width", "heads") == []
    assert at_most(Config(4, 4), "width", "heads") == []
    assert at_most(Config(5, 4), "width", "heads") == ["width should be at most heads (4), got 5"]


def test_a_folder_is_there_or_not_asked_for(tmp_path: pathlib.Path) -> None:
    (form,) = metadata(FolderOrNone, Form)
    (tmp_path / "file").touch()
    assert form.accepts("") and form.accepts(str(tmp_path))
    assert not form.accepts(str(tmp_path / "file")) and not form.accepts(str(tmp_path / "absent"))
