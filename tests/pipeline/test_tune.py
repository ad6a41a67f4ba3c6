import json
import pathlib

import pytest
from typer.testing import CliRunner

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline import tune
from homefeed.pipeline.cli.main import app
from homefeed.pipeline.config import ConfigError
from homefeed.pipeline.recommender import recommender
from homefeed.pipeline.runner.metadata import MetadataStore
from homefeed.pipeline.runner.root import RunRoot
from tests.runs import SMALL

RANGE = "ranking_trainer.learning_rate=1e-4..1e-2"


def search(data: pathlib.Path, root: pathlib.Path, num_trials: int) -> list[tune.Trial]:
    dag = recommender(DatasetDir(data.resolve()))
    ranges = [tune.parse_range(RANGE), tune.parse_range("ranking_trainer.num_heads=1,2")]
    return tune.tune(dag, ranges, root, name="small", num_trials=num_trials, settings=SMALL)


def test_what_may_be_searched() -> None:
    assert tune.parse_range(RANGE) == tune.Range("ranking_trainer.learning_rate", 1e-4, 1e-2)
    assert tune.parse_range("a.b=2..8") == tune.Range("a.b", 2, 8)
    assert tune.parse_range("a.b=next,any") == tune.Range("a.b", choices=("next", "any"))


@pytest.mark.parametrize(
    "asked",
    [
        "example_gen.split=temporal,hash",
        "example_gen.eval_fraction=0.1..0.3",
        "example_gen.spans=1,2",
        "evaluator.max_queries=10..20",
        "pusher.canary=true,false",
    ],
)
def test_what_changes_the_question_is_not_searched(asked: str, tmp_path: pathlib.Path) -> None:
    dag = recommender(DatasetDir(tmp_path))
    with pytest.raises(ConfigError, match="cannot be searched: trials are compared by their answers to one question"):
        tune.tune(dag, [tune.parse_range(asked)], tmp_path / "root", name="x", num_trials=1)
    assert not (tmp_path / "root").exists()


def test_every_component_is_either_searched_or_not() -> None:
    assert set(tune.SEARCHED) <= set(recommender(DatasetDir(pathlib.Path())).names())


@pytest.mark.parametrize("wrong", ["a=1..2", "a.b", "a.b=", "a.b=2..1", "a.b=x..y", ".b=1..2"])
def test_what_may_not(wrong: str) -> None:
    with pytest.raises(ConfigError, match="should read"):
        tune.parse_range(wrong)


def test_unknown_fields_and_wrong_kinds_are_refused_before_anything_runs(tmp_path: pathlib.Path) -> None:
    dag = recommender(DatasetDir(tmp_path))
    for wrong in ("ranking_trainer.lerning_rate=1..2", "ranking_trainer.width=1.5..2.5", "nobody.width=1..2"):
        with pytest.raises(ConfigError):
            tune.tune(dag, [tune.parse_range(wrong)], tmp_path / "root", name="x", num_trials=1)
    assert not (tmp_path / "root").exists()


def test_trials_are_recorded_and_a_search_goes_on_where_it_stopped(
    sample_data: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures of a trial are stood in for by its settings; a whole run takes a minute."""

    def evaluate(dag: object, configs: dict[str, object], root: pathlib.Path, *_: object) -> pathlib.Path:
        rate = vars(configs["ranking_trainer"])["learning_rate"]
        folder = root / "artifacts" / f"{rate}"
        folder.mkdir(parents=True, exist_ok=True)
        report = {"eval": {"retrieval + ranking": {"ndcg@10": -abs(rate - 3e-3)}}}
        (folder / "metrics.json").write_text(json.dumps(report))
        if len(list((root / "artifacts").iterdir())) == 3 and not (root / "killed").exists():
            (root / "killed").touch()
            raise KeyboardInterrupt
        return folder

    monkeypatch.setattr(tune, "_evaluate", evaluate)
    with pytest.raises(KeyboardInterrupt):
        search(sample_data, tmp_path, 6)
    (interrupted,) = {p.name for p in (tmp_path / "artifacts").iterdir()} - {
        str(t.settings["ranking_trainer.learning_rate"]) for t in search(sample_data, tmp_path, 2)
    }
    found = search(sample_data, tmp_path, 6)
    assert len(found) == 6 and [t.value for t in found] == sorted((t.value for t in found), reverse=True)
    rates = [trial.settings["ranking_trainer.learning_rate"] for trial in found]
    assert float(interrupted) in rates and len(set(rates)) == 6
    assert search(sample_data, tmp_path, 6) == found, "nothing is left to do"
    recorded = MetadataStore(RunRoot(tmp_path)).all("ModelEvaluation")
    assert {str(record.path) for record in recorded} == {trial.evaluation for trial in found}


@pytest.mark.slow
def test_a_real_search_by_command(sample_data: pathlib.Path, sample_root: pathlib.Path) -> None:
    command = ["tune", "--data", str(sample_data), "--root", str(sample_root), "--trials", "2", "--json"]
    command += ["--set-range", RANGE, *(word for setting in SMALL for word in ("--set", setting))]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    first, second = json.loads(result.output)
    assert first["value"] >= second["value"] and first["evaluation"] != second["evaluation"]
