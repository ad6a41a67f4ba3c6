"""Retraining on a store of few users, with models that count, and, slowly, with models as small as they can be."""

import contextlib
import datetime
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from homefeed.components.artifacts.types import GateClosed, PushedModel
from homefeed.pipeline.config import ConfigError
from homefeed.pipeline.datasets.sample import write_weeks
from homefeed.pipeline.loop.options import Options
from homefeed.pipeline.loop.retrain import Outcome, choose, retrain
from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.lineage import summarize, trace
from homefeed.pipeline.runner.local_runner import Step, locked
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.releases import Releases
from tests.counting import count_instead_of_training
from tests.runs import SMALL, executed

NUM_WEEKS = 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Four weeks, the last of them with the event types of another system."""
    folder = tmp_path_factory.mktemp("weeks")
    write_weeks(folder, num_weeks=NUM_WEEKS, num_users=60, num_items=60, num_events=3_000, poisoned={4: "schema"})
    return folder


def spans(store: pathlib.Path) -> list[str]:
    return sorted(path.stem for path in (store / "interactions").iterdir())


class Shop:
    """A data folder that spans are delivered to, and the root of its models."""

    def __init__(self, store: pathlib.Path, folder: pathlib.Path, *, is_counting: bool = False) -> None:
        self.store, self.data, self.root = store, folder / "data", folder / "root"
        self.is_counting = is_counting
        self.steps: list[Step] = []
        self.data.mkdir(parents=True)
        described = (store / "dataset.yaml").read_text(encoding="utf-8")
        (self.data / "dataset.yaml").write_text(f"{described}rules: rules.yaml\n", encoding="utf-8")
        (self.data / "rules.yaml").touch()

    def deliver(self, *weeks: int) -> None:
        for week in weeks:
            for table in ("interactions", "items", "users"):
                (self.data / table).mkdir(exist_ok=True)
                shutil.copy(self.store / table / f"{spans(self.store)[week - 1]}.csv", self.data / table)

    def retrain(self, *settings: str, **options: Any) -> Outcome:
        self.steps = []

        @contextlib.contextmanager
        def observer(title: str) -> Iterator[Any]:
            yield self.steps.append

        with pytest.MonkeyPatch.context() as patch:
            if self.is_counting:
                count_instead_of_training(patch)
            chosen = Options(**options)
            return retrain(self.data, self.root, chosen, observer=observer, settings=(*SMALL, *settings))

    @property
    def stable(self) -> int:
        return Releases(self.root / "serving").stable()

    def ledger(self) -> dict[str, Any]:
        ledger: dict[str, Any] = json.loads((self.root / "retraining.json").read_text(encoding="utf-8"))
        return ledger


@pytest.fixture(scope="module", params=["counting", pytest.param("trained", marks=pytest.mark.slow)])
def shop(request: pytest.FixtureRequest, store: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Trained on two weeks, then on the newer of three; the tests below go on from there, in their order."""
    shop = Shop(store, tmp_path_factory.mktemp("shop"), is_counting=request.param == "counting")
    shop.deliver(1, 2)
    assert shop.retrain().version == 1
    shop.deliver(3)
    outcome = shop.retrain("evaluator.base_margin=1.0", "evaluator.slice_margin=1.0", window=2)
    assert (outcome.status, outcome.version) == ("pushed", 2)
    return shop


def test_the_same_spans_again_push_nothing(shop: Shop) -> None:
    outcome = shop.retrain("evaluator.base_margin=1.0", "evaluator.slice_margin=1.0", window=2)
    assert (outcome.status, outcome.version) == ("unchanged", 2)
    assert executed(shop.steps) == []


def test_lineage_names_spans_parents_metrics_code_and_config(shop: Shop, store: pathlib.Path) -> None:
    found = summarize(trace(RunRoot(shop.root), "2"))
    assert (found["version"], found["parents"]) == (2, [1])
    assert found["spans"] == spans(store)[1:3]
    assert 0 < found["metrics"]["eval"]["retrieval + ranking"] < 1
    assert found["metrics"]["eval"].keys() >= {"in service", "popularity"}
    assert found["config"]["RetrievalTrainer"]["width"] == 8 and len(found["code_version"]["Evaluator"]) == 32
    first = summarize(trace(RunRoot(shop.root), "ranking/1"))
    assert (first["parents"], first["spans"]) == ([], spans(store)[:2])
    with pytest.raises(RunError, match="version 7 was not pushed from here; there are 1, 2"):
        trace(RunRoot(shop.root), "7")


def test_the_models_that_are_pushed_carry_their_card_and_history(shop: Shop) -> None:
    extra = shop.root / "serving" / "fused" / "2" / "assets.extra"
    report = json.loads((extra / "evaluation.json").read_text(encoding="utf-8"))
    assert [past["version"] for past in report["history"]] == [1]
    assert report["comparison"]["all"]["queries"] > 20
    assert "Against the models in service" in (extra / "model_card.md").read_text(encoding="utf-8")


def test_models_that_are_not_good_enough_are_not_pushed_and_the_reason_has_figures(shop: Shop) -> None:
    eleven_times_as_good = "evaluator.base_margin=-10.0"
    with pytest.raises(GateClosed, match=r"of in service: difference [+-]0\.\d+, 95% interval"):
        shop.retrain(eleven_times_as_good, "evaluator.slice_margin=1.0", window=2)
    assert shop.stable == 2
    assert shop.ledger()["runs"][-1]["outcome"] == "refused"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"if_older_than": 1.0}, "0.0 days old, of 1"),
        ({"min_new_events": 10}, "0 new events, of 10"),
        ({"on_drift": True}, "no drift in 0 new spans"),
    ],
)
def test_without_a_trigger_there_is_nothing_to_do(shop: Shop, options: dict[str, Any], why: str) -> None:
    outcome = shop.retrain("ranking_trainer.learning_rate=0.009", **options)
    assert outcome.status == "nothing to do" and why in outcome.message
    assert shop.steps == []


def test_what_rules_deny_now_is_unlearnt_and_other_rules_are_no_reason(shop: Shop, tmp_path: pathlib.Path) -> None:
    item_id = next((shop.data / "items").glob("*.csv")).read_text().splitlines()[1].split(",")[0]
    copy = Shop.__new__(Shop)
    vars(copy).update(vars(shop) | {"root": tmp_path / "root"})
    shutil.copytree(shop.root, copy.root)

    def retrained(rules: str, ids: str, *settings: str) -> str:
        (shop.data / "rules.yaml").write_text(rules)
        (shop.data / "ids.txt").write_text(ids)
        lax = ("evaluator.base_margin=1.0", "evaluator.slice_margin=1.0")
        return copy.retrain(*lax, *settings, if_older_than=1.0, window=2).status

    denied = "none: {deny: {item_id: {file: ids.txt}}}\n"
    try:
        assert retrained("none: {boost: {price: {at_most: 3}}, by: 2}\n", "") == "unchanged"
        assert retrained(denied, item_id, "transform.learn_denied=true") == "nothing to do"
        assert retrained(denied, item_id) == "pushed"
        assert retrained(f"{denied}more: {{block: {{price: 1}}}}\n", f"# A comment.\n{item_id}\n") == "unchanged"
    finally:
        (shop.data / "rules.yaml").write_text("")


def test_a_failed_check_rolls_back_and_is_not_tried_again(shop: Shop) -> None:
    settings = ("evaluator.base_margin=1.0", "evaluator.slice_margin=1.0", "ranking_trainer.seed=1")
    for _ in range(2):
        with pytest.raises(GateClosed, match="exited 3: no good"):
            shop.retrain(*settings, window=2, check="echo no good; exit 3")
        assert shop.stable == 2
    assert shop.steps == []
    states = {release.version: release.state for release in Releases(shop.root / "serving").versions()}
    assert states == {3: "retired", 2: "stable", 1: "previous"}


def test_a_check_that_cannot_be_started_is_said_before_training(shop: Shop) -> None:
    before = shop.ledger()
    with pytest.raises(ConfigError, match="'nope-nope' is no program that can be started"):
        shop.retrain("ranking_trainer.seed=2", window=2, check="nope-nope --fast")
    assert shop.steps == [] and shop.ledger() == before


def test_a_span_with_another_schema_is_stopped_by_name_and_left_out_later(shop: Shop, store: pathlib.Path) -> None:
    shop.deliver(4)
    newest = spans(store)[3]
    with pytest.raises(GateClosed, match=f"span {newest}: .*event_type is not one of"):
        shop.retrain(window=2)
    assert shop.stable == 2
    assert not shop.ledger()["spans"][newest]["events"]


def test_a_second_retraining_says_so_and_exits_1(sample_data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with locked(tmp_path / ".retrain.lock", ""):
        command = [sys.executable, "-c", "from homefeed.pipeline.cli.main import main; main()", "retrain"]
        arguments = ["--data", str(sample_data), "--root", str(tmp_path)]
        second = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert second.returncode == 1
    assert "another retraining is at work" in second.stderr and "Traceback" not in second.stderr


def test_the_ledger_says_when_and_what(shop: Shop) -> None:
    first = shop.ledger()["runs"][0]
    assert first["outcome"] == "pushed" and first["base"] == ""
    assert (
        PushedModel(pathlib.Path(RunRoot(shop.root).placed(first["pushed"]))).read_json("pushed.json")["version"] == 1
    )
    assert datetime.datetime.fromisoformat(first["finished_at"]).tzinfo is not None


def test_window_and_replay() -> None:
    weeks = [str(week) for week in range(1, 11)]
    assert choose(weeks, 0, 0) == choose(weeks, 20, 3) == weeks
    assert choose(weeks, 3, 0) == ["8", "9", "10"]
    assert choose(weeks, 3, 2) == ["1", "4", "8", "9", "10"]
    assert choose(weeks[:4], 3, 2) == ["1", "2", "3", "4"]


@pytest.mark.slow
def test_what_was_killed_is_finished_by_the_next(store: pathlib.Path, tmp_path: pathlib.Path) -> None:
    shop = Shop(store, tmp_path)
    shop.deliver(1, 2)
    arguments = [f"--data={shop.data}", f"--root={shop.root}", *(f"--set={setting}" for setting in SMALL)]
    command = [sys.executable, "-c", "from homefeed.pipeline.cli.main import main; main()", "retrain", *arguments]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while killed.poll() is None and not list(shop.root.glob("artifacts/RetrievalTrainer/*")):
        time.sleep(0.05)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert not (shop.root / "serving").exists()
    outcome = shop.retrain()
    assert (outcome.status, outcome.version) == ("pushed", 1)
    done = {"ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform"}
    assert not done & set(executed(shop.steps))
    assert "Pusher" in executed(shop.steps)


def test_what_a_run_has_made_from_the_same_is_not_made_again(
    sample_data: pathlib.Path, sample_root: pathlib.Path
) -> None:
    @contextlib.contextmanager
    def observer(title: str) -> Iterator[Any]:
        yield lambda step: steps.append(step)

    steps: list[Step] = []
    retraining = (sample_data, sample_root, Options())
    outcome = retrain(*retraining, observer=observer, settings=SMALL)
    assert (outcome.status, outcome.version) == ("unchanged", 1)
    assert not {"RetrievalTrainer", "Evaluator", "Pusher"} & set(executed(steps))
    assert retrain(*retraining, observer=observer, settings=SMALL).status == "unchanged"
