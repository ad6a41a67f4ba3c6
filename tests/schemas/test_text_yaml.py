"""YAML 1.1 reads much as something else than it says; here everything is text."""

import pytest
import yaml

from homefeed.schemas import text_yaml


@pytest.mark.parametrize("text", ["no", "on", "3:7", "1_000", "017", "1e3", "2025-01-08", ".inf", "0x1f", "y"])
def test_what_yaml_would_read_as_something_else_stays_text(text: str) -> None:
    assert text_yaml.load(f"a: {text}") == {"a": text}
    assert text_yaml.load(f"[{text}]") == [text]


def test_nothing_lists_and_mappings_are_what_they_are() -> None:
    assert text_yaml.load("{a: , b: null, c: ~, d: [x, [y]], e: {f: ''}}") == {
        "a": None, "b": None, "c": None, "d": ["x", ["y"]], "e": {"f": ""},
    }  # fmt: skip
    assert text_yaml.load("") is None


def test_anchors_are_followed() -> None:
    assert text_yaml.load("a: &x [1]\nb: *x") == {"a": ["1"], "b": ["1"]}


def test_a_key_given_twice_is_refused_where_yaml_would_take_the_last() -> None:
    with pytest.raises(yaml.YAMLError, match="'a' is given twice"):
        text_yaml.load("a: 1\nb: 2\na: 3")


def test_keys_are_text() -> None:
    assert text_yaml.load("{~: 1, 2: x, no: y}") == {"~": "1", "2": "x", "no": "y"}
    with pytest.raises(yaml.YAMLError, match="a key that is a list or a mapping"):
        text_yaml.load("? {a: b}\n: c")


def test_endless_nesting_is_refused() -> None:
    with pytest.raises(yaml.YAMLError, match="too many levels"):
        text_yaml.load("{a: " * 3000)


def test_tags_make_no_objects() -> None:
    with pytest.raises(yaml.YAMLError):
        text_yaml.load("!!python/object/apply:os.getcwd []")


def test_aliases_do_not_grow_a_line_into_a_billion_values() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert len(text_yaml.load("\n".join(lines[:3]))["a2"]) == 10
    with pytest.raises(yaml.YAMLError, match="more than 1,000,000 values"):
        text_yaml.load("\n".join(lines))
    for text in ("a: &a [*a]", "a: &a {b: *a}"):
        with pytest.raises(yaml.YAMLError, match="recursive"):
            text_yaml.load(text)
