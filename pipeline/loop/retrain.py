"""Retraining: the pipeline again, on the spans that passed the gate, against the models in service."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from homefeed.components import ranking_trainer, retrieval_trainer
from homefeed.components.artifacts.types import DatasetDir, GateClosed, PushedModel
from homefeed.pipeline.config import load_config
from homefeed.pipeline.loop.check import reasons_against, require_startable
from homefeed.pipeline.loop.ledger import Ledger
from homefeed.pipeline.loop.options import Options
from homefeed.pipeline.loop.spans_gate import Gate, Verdict
from homefeed.pipeline.loop.trigger import why_not
from homefeed.pipeline.recommender import recommender
from homefeed.pipeline.runner.lineage import summarize, trace
from homefeed.pipeline.runner.local_runner import Observer, locked, run_pipeline
from homefeed.pipeline.runner.metadata import MetadataStore
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas.dataset import load_dataset
from homefeed.serving.policy.rules import read_rules
from homefeed.serving.releases import ReleaseError, Releases

DECIDED = {
    "example_gen": ("spans",),
    "example_validator": ("baseline_spans",),
    "evaluator": ("base_models",),
    "retrieval_trainer": ("base_model",),
    "ranking_trainer": ("base_model",),
}
"""Component → fields that a retraining decides itself."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a retraining did.

    Attributes:
        status: `pushed`, `unchanged` (it was pushed before: all came from the cache) or `nothing to do` (no trigger).
        version: of the models in service now.
        spans: what they were trained on, or would have been.
        rejected: span → the gate's reasons.
        message: for people.
    """

    status: str
    version: int | None
    spans: tuple[str, ...]
    rejected: dict[str, list[str]]
    message: str


def retrain(
    data: pathlib.Path,
    root: pathlib.Path,
    options: Options,
    *,
    observer: Observer,
    config_file: pathlib.Path | None = None,
    settings: Iterable[str] = (),
    metadata: str | None = None,
) -> Outcome:
    """Judges new spans, trains on the good ones, compares, pushes, checks, and rolls back on a failed check.

    Args:
        data: folder with `dataset.yaml`; paths with {SPAN} make it grow by spans.
        root: of the pipeline's runs; made if missing.
        options: what is learnt from, and when.
        observer: as of `run_pipeline`.
        config_file: as of `homefeed run`.
        settings: as of `homefeed run`.
        metadata: as of `run_pipeline`.

    Raises:
        GateClosed: the newest span was rejected, the new models were not blessed, or the check failed.
        RunError: another retraining is at work on the root.
        ConfigError: a setting is wrong, or the check cannot be started, which says nothing of the models.
    """
    require_startable(options.check)
    asked = _Retraining(data, root, options, observer, config_file, tuple(settings), metadata)
    asked.check()
    root.mkdir(parents=True, exist_ok=True)
    refusal = f"another retraining is at work on {root}; it will do what there is to do"
    with locked(RunRoot(root).retraining_lock, refusal):
        return asked.run()


@dataclasses.dataclass
class _Retraining:
    data: pathlib.Path
    root: pathlib.Path
    options: Options
    observer: Observer
    config_file: pathlib.Path | None
    settings: tuple[str, ...]
    metadata: str | None

    def check(self) -> None:
        """Reads what a retraining is asked for before it makes anything: a wrong name leaves no root behind."""
        load_dataset(self.data)
        self._configs()

    def run(self) -> Outcome:
        ledger = Ledger(self.root)
        verdicts = self._judge(ledger)
        rejected = {span: verdict.reasons for span, verdict in verdicts.items() if not verdict.is_good}
        newest = list(verdicts)[-1]
        if newest in rejected:
            raise GateClosed(f"span {newest}" if newest else "data", rejected[newest])
        good = [span for span, verdict in verdicts.items() if verdict.is_good]
        chosen = choose(good, self.options.window, self.options.replay)
        key = self._key(chosen, verdicts)
        run = ledger.find(key)
        if run is None:
            not_now = why_not(self.options, ledger.last_finished(), verdicts, self._denies())
            if not_now:
                return Outcome("nothing to do", self._version(), tuple(chosen), rejected, f"nothing to do: {not_now}")
            run = {"key": key, "spans": chosen, "good": good, "base": self._in_service(), "outcome": "begun"}
            run |= {"denies": denies} if (denies := self._denies()) else {}
            run |= self._made_by_first_run(run, list(verdicts))
            ledger.begin(run)
        if run["outcome"] == "rolled back":
            raise GateClosed("check", run["reasons"])
        done = run["outcome"] == "pushed" and PushedModel(pathlib.Path(run["pushed"])).is_intact()
        status = "unchanged" if done else self._train(run, ledger)
        version = PushedModel(pathlib.Path(run["pushed"])).read_json(PushedModel.FILE)["version"]
        before = " was pushed before" if status == "unchanged" else ""
        return Outcome(status, version, tuple(chosen), rejected, f"version {version} from {_spoken(chosen)}{before}")

    def _judge(self, ledger: Ledger) -> dict[str, Verdict]:
        margin, name = self.options.drift_margin, load_dataset(self.data).name
        gate = Gate(self.data, self.root, name, self._configs(), margin, self.observer, self.metadata)
        verdicts = gate.judge_all(ledger.verdicts)
        ledger.keep_verdicts(verdicts)
        return verdicts

    def _train(self, run: dict[str, Any], ledger: Ledger) -> str:
        """Runs the pipeline and checks what it pushed."""
        dag = recommender(DatasetDir(self.data))
        configs = self._configs(spans=",".join(run["spans"]), base=run["base"])
        name = load_dataset(self.data).name
        try:
            steps = run_pipeline(dag, configs, self.root, name=name, observer=self.observer, metadata=self.metadata)
        except GateClosed as closed:
            ledger.finish(run, "refused", reasons=list(closed.reasons))
            raise
        pusher = next(step for step in steps if step.component == "Pusher")
        pushed = PushedModel(pusher.outputs["pushed"])
        reasons = reasons_against(pushed, self._serving_dir(), self.options.check)
        if reasons:
            ledger.finish(run, "rolled back", reasons=[*reasons, self._roll_back()])
            raise GateClosed("check", run["reasons"])
        ledger.finish(run, "pushed", pushed=str(pushed.path))
        return "unchanged" if pusher.cached else "pushed"

    def _roll_back(self) -> str:
        """Rolls back to the version before; returns what to tell the user."""
        try:
            return f"back to version {Releases(self._serving_dir()).rollback()}"
        except ReleaseError as error:
            return f"not rolled back: {error}"

    def _configs(self, spans: str = "", base: str = "") -> dict[str, Any]:
        defaults: dict[str, dict[str, Any]] = {
            **RunRoot(self.root).defaults(),
            "example_gen": {"spans": spans},
            # The gate has judged every span; what the pipeline compares may be weeks apart.
            "example_validator": {"baseline_spans": 0},
            "evaluator": {"base_models": base},
        }
        if base and not self.options.refit:
            defaults |= self._warm_start(base)
        return load_config(recommender(DatasetDir(self.data)), self.config_file, self.settings, defaults)

    def _warm_start(self, base: str) -> dict[str, Any]:
        """The trainers that can go on from an earlier model are given the one in service."""
        version = PushedModel(pathlib.Path(base)).read_json(PushedModel.FILE)["version"]
        models = trace(self._place, str(version), self.metadata)["made_by"]["inputs"]
        trainers = {retrieval_trainer: "retrieval_model", ranking_trainer: "ranking_model"}
        paths = {trainer: pathlib.Path(models[name]["path"]) for trainer, name in trainers.items()}
        return {
            trainer.__name__.rpartition(".")[2]: {"base_model": str(path)}
            for trainer, path in paths.items()
            if (path / "Snapshot").is_dir()
        }

    def _serving_dir(self) -> str:
        serving_dir: str = self._configs()["pusher"].serving_dir
        return serving_dir

    def _key(self, chosen: Sequence[str], verdicts: Mapping[str, Verdict]) -> str:
        nodes = recommender(DatasetDir(self.data)).nodes
        code = {node.name: node.component.code_version for node in nodes}
        digests = [(span, verdicts[span].digest) for span in chosen]
        known = [digests, code, self._recorded_configs(), self.options.refit]
        text = json.dumps([*known, *filter(None, [self._denies()])], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _denies(self) -> str:
        """Version of what the data's rules deny; "": nothing, or models learn from it all the same.

        What is held is left out: each verdict would be a reason to train, and `homefeed index refresh` is quicker.
        """
        name = load_dataset(self.data).rules
        return read_rules(self.data / name).denies if name and not self._configs()["transform"].learn_denied else ""

    def _made_by_first_run(self, run: Mapping[str, Any], all_spans: list[str]) -> dict[str, Any]:
        """The end of this retraining, if `homefeed run` has made what is in service from just this; else nothing."""
        if not run["base"]:
            return {}
        traced = trace(self._place, str(self._version()), self.metadata)
        made = summarize(traced)
        same_data = [place["digest"] for place in made["dataset"]] == [DatasetDir(self.data).digest()]
        same_spans = (made["spans"] or all_spans) == run["spans"]
        titles = {node.name: node.component.title for node in recommender(DatasetDir(self.data)).nodes}
        mine = {titles[name]: config for name, config in self._recorded_configs().items()}
        mine["ExampleGen"]["spans"] = made["config"]["ExampleGen"]["spans"]
        if not (same_data and same_spans and all(mine.get(name) == made["config"][name] for name in made["config"])):
            return {}
        return {"outcome": "pushed", "pushed": run["base"], "finished_at": traced["made_by"]["finished_at"]}

    def _recorded_configs(self) -> dict[str, Any]:
        plain = {name: dataclasses.asdict(config) for name, config in self._configs().items()}
        recorded: dict[str, Any] = self._place.portable(plain)
        return recorded

    @property
    def _place(self) -> RunRoot:
        return RunRoot(self.root)

    def _in_service(self) -> str:
        """The PushedModel that is the stable version, as its folder; empty before the first."""
        version = self._version()
        store = MetadataStore(self._place, self.metadata)
        for record in sorted(store.all("PushedModel"), key=lambda record: -record.id):
            pushed = PushedModel(record.path)
            if pushed.is_intact() and pushed.read_json(PushedModel.FILE)["version"] == version:
                return str(record.path)
        return ""

    def _version(self) -> int | None:
        try:
            return Releases(self._serving_dir()).stable()
        except ReleaseError:
            return None


def choose(good: Sequence[str], window: int, replay: int) -> list[str]:
    """The newest `window` spans (0: all), and `replay` of those before them, evenly spread.

    >>> choose(["1", "2", "3", "4", "5", "6", "7"], window=2, replay=2)
    ['1', '3', '6', '7']
    """
    newest = list(good[-window:]) if window else list(good)
    older = good[: len(good) - len(newest)]
    step = max(len(older) / replay, 1.0) if replay else 1.0
    return [older[int(place * step)] for place in range(min(replay, len(older)))] + newest


def _spoken(spans: Sequence[str]) -> str:
    return "all data" if spans == [""] else f"span {spans[0]}" if len(spans) == 1 else f"spans {', '.join(spans)}"
