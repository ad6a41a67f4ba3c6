import math

import pytest

from homefeed.models.behaviour_text import item_text


def test_item_text_writes_title_first_and_description_last() -> None:
    row = {"description": "Long.", "release_year": 1995.0, "title": "Heat", "categories": ["Action", "Crime"]}
    assert item_text(row) == "Heat Action Crime release year 1995 Long."


def test_chinese_item() -> None:
    assert item_text({"title": "流浪地球", "categories": ["科幻", "灾难"]}) == "流浪地球 科幻 灾难"


@pytest.mark.parametrize("row", [{}, {"title": ""}, {"title": None, "year": math.nan, "categories": []}])
def test_nothing_known(row: dict[str, object]) -> None:
    assert item_text(row) == ""


def test_other_columns_are_written_with_their_names() -> None:
    row = {"title": "T", "min_age": 24.0, "studio": "M", "country": "", "moods": ["a", "b"]}
    assert item_text(row) == "T min age 24 studio M moods a b"


def test_a_brace_in_a_value_is_no_template() -> None:
    assert item_text({"title": "{year}", "year": 3}) == "{year} year 3"
