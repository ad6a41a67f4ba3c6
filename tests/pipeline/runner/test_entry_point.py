"""One component by itself: what a container calls, and a person by hand."""

import json
import pathlib

import pytest
from typer.testing import CliRunner

from homefeed.components.artifacts.types import GateClosed
from homefeed.pipeline.cli.main import app
from homefeed.pipeline.config import ConfigError
from homefeed.pipeline.runner.entry_point import config_types, load_component, run_component
from homefeed.pipeline.runner.errors import RunError

TOYS = "tests.pipeline.toys"


@pytest.fixture
def numbers(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "numbers.txt").write_text("1 2 4")
    return tmp_path


def total(folder: pathlib.Path, *config: str, **options: object) -> str:
    run_component(f"{TOYS}.count_gen", {"dataset": folder}, {"examples": folder / "examples"}, overwrite=True)
    outputs = {"evaluation": folder / "evaluation", "blessing": folder / "blessing"}
    return run_component(f"{TOYS}.sum_gate", {"examples": folder / "examples"}, outputs, config, **options)


def test_components_work_on_folders_given_by_hand(numbers: pathlib.Path) -> None:
    assert total(numbers, "limit=8") == "total 7"
    assert json.loads((numbers / "evaluation" / "metrics.json").read_text()) == {"total": 7}


def test_a_closed_gate_is_an_error_or_a_verdict(numbers: pathlib.Path) -> None:
    verdict = numbers / "deep" / "verdict"
    assert total(numbers, "limit=5", verdicts={"blessing": verdict}) == "total 7"
    assert verdict.read_text() == "closed"
    with pytest.raises(GateClosed, match="7 is above 5"):
        total(numbers, "limit=5", overwrite=True)


def test_what_lies_in_an_output_goes_only_when_told(numbers: pathlib.Path) -> None:
    total(numbers)
    (numbers / "evaluation" / "leftover").touch()
    with pytest.raises(RunError, match="give --overwrite"):
        total(numbers)
    total(numbers, overwrite=True)


def test_every_mistake_is_named_at_once(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError) as caught:
        run_component(
            "statistics_gen",
            {"interactionz": tmp_path, "items": tmp_path},
            {"users": tmp_path},
            ["num_top_values=0", "num_top"],
        )
    said = str(caught.value)
    assert "has no input 'interactionz'; it has interactions, items, users" in said
    assert "lacks its input 'users': give --input users=PATH of Examples" in said
    assert "lacks its output 'items'" in said
    assert "statistics_gen.num_top_values: expected a whole number from 1, got '0'" in said
    assert "--config 'num_top' should read field=value" in said


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("limit", "should read field=value"),
        ("limit=many", "expected a whole number, got 'many'"),
        ("limits=3", "has no field 'limits'; did you mean 'limit'"),
        ("limit=1.5", "limit"),
    ],
)
def test_a_wrong_config_is_refused(config: str, message: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=message):
        run_component(
            f"{TOYS}.sum_gate",
            {"examples": tmp_path},
            {n: tmp_path / n for n in ("evaluation", "blessing")},
            [config],
        )


def test_an_unknown_component_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no component 'example_jen'"):
        load_component("example_jen")


def test_types_of_config_fields_are_those_of_json() -> None:
    types = config_types(load_component("example_gen"))
    assert types["split"] == "string" and types["eval_fraction"] == "number" and types["beam_options"] == "array"


def test_the_verb_runs_a_component(numbers: pathlib.Path) -> None:
    arguments = [f"{TOYS}.count_gen", "--input", f"dataset={numbers}", "--output", f"examples={numbers / 'e'}"]
    result = CliRunner().invoke(app, ["component", *arguments, "--config", "factor=5"])
    assert result.exit_code == 0, result.output
    assert json.loads((numbers / "e" / "numbers.json").read_text()) == [5, 10, 20]
