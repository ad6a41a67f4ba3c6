"""Whom to forget, and who merely has an id like theirs."""

import pytest

from homefeed.pipeline.forget.person import Person


def test_names_are_whole_ids_and_others_are_remembered_as_namesakes() -> None:
    person = Person({"shopper-1", "f00d"})
    assert person.owns("shopper-1") and person.owns("f00d")
    assert not person.owns("shopper-12") and not person.owns("else")
    assert person.namesakes == {"shopper-12"}


@pytest.mark.parametrize(
    ("line", "about"),
    [
        ('{"user_id": "17", "item_id": "B"}', True),
        ('{"user_id": "170", "item_id": "17"}', False),  # A short id may be anything else.
        ('{"user_id": "x", "raw": "17,B,soon"}', True),  # A bad row as it was.
        ('{"user_id": "x", "raw": "170,B,soon"}', False),
        ('{"user_id": "x", "note": "for shopper-1"}', True),  # A long id by any text.
        ('{"user_id": "x", "note": "for shopper-12"}', False),
        ("no JSON, but shopper-1", True),
        ("no JSON and 17", False),
        ("[1, 2]", False),
    ],
)
def test_a_line_of_json(line: str, about: bool) -> None:
    assert Person({"17", "shopper-1"}).is_in_line(line) == about


def test_bytes_count_long_names_that_are_no_part_of_a_namesakes() -> None:
    person = Person({"shopper-1", "17"})
    assert person.is_in_bytes(b"..shopper-12..") and not person.is_in_bytes(b"17")
    person.owns("shopper-12")
    assert not person.is_in_bytes(b"..shopper-12..") and person.is_in_bytes(b"..shopper-12.shopper-1..")
