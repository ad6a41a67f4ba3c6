import math

import pytest

from homefeed.models.behaviour_text import item_text, user_text


def test_item_text_writes_title_first_and_description_last() -> None:
    row = {"description": "Long.", "release_year": 1995.0, "title": "Heat", "categories": ["Action", "Crime"]}
    assert item_text(row) == "Heat Action Crime release year 1995 Long."


def test_chinese_item() -> None:
    assert item_text({"title": "流浪地球", "categories": ["科幻", "灾难"]}) == "流浪地球 科幻 灾难"


@pytest.mark.parametrize("row", [{}, {"title": ""}, {"title": None, "year": math.nan, "categories": []}])
def test_nothing_known(row: dict[str, object]) -> None:
    assert item_text(row) == ""


def test_user_text_names_its_features() -> None:
    row = {"age": 24.0, "gender": "M", "occupation": "", "likes": ["a", "b"]}
    assert user_text(row) == "age 24 gender M likes a b"


def test_own_template() -> None:
    assert user_text({"age": 24, "gender": "女"}, ("年龄 {age} 性别 {gender}",)) == "年龄 24 性别 女"


def test_a_brace_in_a_value_is_no_template() -> None:
    assert item_text({"title": "{year}", "year": 3}) == "{year} year 3"
