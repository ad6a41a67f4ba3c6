"""`homefeed config`."""

import json

import pytest

from tests.pipeline.command import homefeed


def test_a_component_is_shown_with_ranges_defaults_and_meanings(capsys: pytest.CaptureFixture[str]) -> None:
    assert homefeed("config", "fuser") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for part in ("num_candidates", "a whole number", "from 10", "2,000", "100", "how many are"):
        assert part in shown
    assert "learning_rate" not in shown


def test_everything_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert homefeed("config", "--json") == 0
    rows = {(row["section"], row["field"]): row for row in json.loads(capsys.readouterr().out)}
    row = rows["ranking_trainer", "learning_rate"]
    assert (row["default"], row["expected"]) == (0.002, "a number above 0 and up to 1")
    assert row["schema"]["exclusiveMinimum"] == 0 and row["meaning"]


@pytest.mark.parametrize(("of", "title"), [((), "homefeed configuration"), (("dataset",), "Dataset")])
def test_json_schema_for_editors(of: tuple[str, ...], title: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert homefeed("config", *of, "--json-schema") == 0
    assert json.loads(capsys.readouterr().out)["title"] == title


def test_a_component_that_is_not_there_is_named_with_the_near_miss(capsys: pytest.CaptureFixture[str]) -> None:
    assert homefeed("config", "fusser") == 2
    assert capsys.readouterr().err == "ConfigError: no component 'fusser'; did you mean 'fuser'?\n"
