"""What other people's programs call gives DataFrames, and the same answers as the command line."""

import json
import pathlib
import subprocess
import sys

import pytest

import homefeed
from homefeed.pipeline.program import PLACES
from homefeed.pipeline.runner.errors import RunError
from homefeed.serving.profiles import ProfileStore

LONG_AFTER = 4_000_000_000  # The year 2096: everything is available.


def test_a_run_until_the_schema_and_again_from_the_cache(sample_data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    settings = {"example_gen": {"split": "leave_one_out"}}
    first = homefeed.run(sample_data, tmp_path / "root", settings, until="SchemaGen")
    again = homefeed.run(str(sample_data), str(tmp_path / "root"), settings, until="SchemaGen")
    assert first["component"].tolist() == ["ExampleGen", "StatisticsGen", "SchemaGen"]
    assert first["cached"].tolist() == [False] * 3 and again["cached"].tolist() == [True] * 3
    other = homefeed.run(sample_data, tmp_path / "root", {"example_gen": {"split": "hash"}}, until="ExampleGen")
    assert other["cached"].tolist() == [False]


def test_pages_of_a_known_and_an_unknown_user(sample_root: pathlib.Path) -> None:
    pages = homefeed.load(sample_root).recommend(["user-0007", "nobody"], k=5, now=LONG_AFTER)
    assert pages.columns.tolist() == PLACES
    assert pages["user_id"].tolist() == ["user-0007"] * 5 + ["nobody"] * 5
    assert pages["place"].tolist() == [1, 2, 3, 4, 5] * 2
    for _, page in pages.groupby("user_id"):
        assert page["score"].is_monotonic_decreasing and page["item_id"].is_unique
    seen = {
        event.item_id for event in ProfileStore(sample_root / "serving" / "profiles.sqlite").get("user-0007").history
    }
    assert seen and not seen & set(pages[pages["user_id"] == "user-0007"]["item_id"])


def test_a_given_history_replaces_the_stored_one(sample_root: pathlib.Path) -> None:
    model = homefeed.load(sample_root)
    stored = model.recommend("user-0007", k=60, now=LONG_AFTER)
    given = model.recommend("user-0007", k=60, history=["item-0003"], now=LONG_AFTER)
    assert len(given) == 59 > len(stored) and "item-0003" not in set(given["item_id"])


def test_a_query_brings_what_it_names_to_the_front(sample_root: pathlib.Path) -> None:
    model = homefeed.load(sample_root)
    plain = model.recommend("nobody", k=60, now=LONG_AFTER)
    wanted = plain.iloc[-1]
    asked = model.recommend("nobody", k=60, query=wanted["title"], now=LONG_AFTER)
    assert asked[asked["item_id"] == wanted["item_id"]]["place"].item() < wanted["place"] / 2


def test_it_answers_as_the_command_line_does(sample_root: pathlib.Path) -> None:
    history = ("item-0003", "item-0011")
    command = ["recommend", "--root", str(sample_root), "--user", "nobody", "--history", ",".join(history), "--json"]
    program = "from homefeed.pipeline.cli.main import main; main()"
    found = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True, check=True)
    said = [place["item_id"] for place in json.loads(found.stdout)["recommendations"]]
    assert homefeed.load(sample_root).recommend("nobody", history=history)["item_id"].tolist() == said


def test_a_root_without_models_is_said(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RunError, match="holds no pushed models yet: `homefeed run --root"):
        homefeed.load(tmp_path)


def test_drift_of_a_dataset_against_itself_is_quiet_and_of_another_is_not(
    sample_data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    from homefeed.pipeline.datasets.sample import write_sample

    write_sample(tmp_path, num_users=40, num_items=60, num_events=600, seed=11)
    same, other = homefeed.drift(sample_data, sample_data), homefeed.drift(sample_data, tmp_path)
    assert len(same) > 5 and not same["drifted"].any()
    assert other["drifted"].any() and {"feature", "measure", "value", "threshold"} <= set(other.columns)
