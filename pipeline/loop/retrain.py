"""Retraining: the pipeline again, on the spans that passed the gate, against the models in service.

`<root>/retraining.json` keeps what a later retraining must know: the verdict on every span, and of each retraining
the models that were in service when it began. So the same spans meet the same models again: a retraining that died
goes on where it was, and one that has finished finds everything cached and pushes nothing twice.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import itertools
import json
import os
import pathlib
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from homefeed.components import ranking_trainer, retrieval_trainer
from homefeed.components.artifacts.types import DatasetDir, GateClosed, PushedModel
from homefeed.pipeline.config import load_config
from homefeed.pipeline.loop.spans_gate import Gate, Verdict, read_verdicts, to_json
from homefeed.pipeline.recommender import recommender
from homefeed.pipeline.runner.lineage import summarize, trace
from homefeed.pipeline.runner.local_runner import Observer, RunError, Step, locked, run_pipeline
from homefeed.pipeline.runner.metadata import MetadataStore
from homefeed.schemas.dataset import load_dataset

LEDGER = "retraining.json"
NUM_CHECKED = 20


@dataclasses.dataclass(frozen=True)
class Options:
    """What is learnt from, and when."""

    window: int = 0  # The newest good spans; 0: all.
    replay: int = 0  # Older good spans beside them, evenly spread, against forgetting.
    drift_margin: float = 0.15  # How far over its limit a distance to the last good span must be to reject a span.
    if_older_than: float | None = None  # Retrain if the last retraining is older than this, in days.
    min_new_events: int | None = None  # Retrain if good spans brought as many events since the last retraining.
    on_drift: bool = False  # Retrain if a new good span drifted at all.
    refit: bool = False  # Train from scratch, instead of going on from the models in service.
    check: str = ""  # A command that tries what was pushed; where it fails, the push is rolled back.


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a retraining did.

    Attributes:
        status: `pushed`, `unchanged` (these spans were done before) or `nothing to do` (no trigger).
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
    """
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / ".retrain.lock", f"another retraining is at work on {root}; it will do what there is to do"):
        return _Retraining(data, root, options, observer, config_file, tuple(settings), metadata).run()


@dataclasses.dataclass
class _Retraining:
    data: pathlib.Path
    root: pathlib.Path
    options: Options
    observer: Observer
    config_file: pathlib.Path | None
    settings: tuple[str, ...]
    metadata: str | None

    def run(self) -> Outcome:
        ledger = _read_ledger(self.root)
        verdicts = self._judge(ledger)
        rejected = {span: verdict.reasons for span, verdict in verdicts.items() if not verdict.is_good}
        newest = list(verdicts)[-1]
        if newest in rejected:
            raise GateClosed(f"span {newest}" if newest else "data", rejected[newest])
        good = [span for span, verdict in verdicts.items() if verdict.is_good]
        chosen = choose(good, self.options.window, self.options.replay)
        key = self._key(chosen, verdicts)
        run = next((run for run in ledger["runs"] if run["key"] == key), None)
        why_not = self._no_trigger(ledger, verdicts)
        if run is None and why_not:
            return Outcome("nothing to do", self._version(), tuple(chosen), rejected, f"nothing to do: {why_not}")
        if run is None:
            run = {"key": key, "spans": chosen, "good": good, "base": self._in_service(), "outcome": "begun"}
            run |= self._made_by_first_run(run, list(verdicts))
            ledger["runs"].append(run)
            _write_ledger(self.root, ledger)
        if run["outcome"] == "rolled back":
            raise GateClosed("check", run["reasons"])
        done = run["outcome"] == "pushed" and PushedModel(pathlib.Path(run["pushed"])).is_intact()
        status = "unchanged" if done else self._train(run, ledger)
        version = PushedModel(pathlib.Path(run["pushed"])).read_json(PushedModel.FILE)["version"]
        message = f"version {version} from {_spoken(chosen)}" + (
            " was pushed before" if status == "unchanged" else ""
        )
        return Outcome(status, version, tuple(chosen), rejected, message)

    def _judge(self, ledger: dict[str, Any]) -> dict[str, Verdict]:
        gate = Gate(
            self.data,
            self.root,
            load_dataset(self.data).name,
            self._configs(),
            self.options.drift_margin,
            self.observer,
            self.metadata,
        )
        verdicts = gate.judge_all(read_verdicts(ledger["spans"]))
        ledger["spans"] = to_json(verdicts)
        _write_ledger(self.root, ledger)
        return verdicts

    def _train(self, run: dict[str, Any], ledger: dict[str, Any]) -> str:
        """Runs the pipeline and checks what it pushed."""
        dag = recommender(DatasetDir(self.data))
        configs = self._configs(spans=",".join(run["spans"]), base=run["base"])
        try:
            steps = run_pipeline(
                dag,
                configs,
                self.root,
                name=load_dataset(self.data).name,
                observer=self.observer,
                metadata=self.metadata,
            )
        except GateClosed as closed:
            self._finish(run, ledger, "refused", reasons=list(closed.reasons))
            raise
        pushed = next(step for step in steps if step.component == "Pusher")
        reasons = self._check(steps)
        if reasons:
            self._finish(run, ledger, "rolled back", reasons=[*reasons, self._roll_back()])
            raise GateClosed("check", run["reasons"])
        self._finish(run, ledger, "pushed", pushed=str(pushed.outputs["pushed"]))
        return "pushed"

    def _roll_back(self) -> str:
        """Says where to."""
        from homefeed.serving.releases import ReleaseError, Releases

        try:
            return f"back to version {Releases(self._serving_dir()).rollback()}"
        except ReleaseError as error:
            return f"not rolled back: {error}"

    def _check(self, steps: Sequence[Step]) -> list[str]:
        """Reasons against what was pushed, from asking it as it lies there, and from the user's own command."""
        from homefeed.serving.predictors import LocalPredictor
        from homefeed.serving.profiles import FILE_NAME, ProfileStore
        from homefeed.serving.recommender import FUSED, Recommender

        outputs = {name: path for step in steps for name, path in step.outputs.items()}
        pushed = PushedModel(outputs["pushed"])
        profiles = ProfileStore(pathlib.Path(self._serving_dir()) / FILE_NAME)
        users = [profiles.get(user_id) for user_id in itertools.islice(profiles.user_ids(), NUM_CHECKED)]
        recommender = Recommender(LocalPredictor({FUSED: pushed.models()[FUSED]}))
        reasons = []
        for request, page in zip(users, recommender.recommend(users), strict=True):
            had = {event.item_id for event in request.history}
            if not page or had & {place.item_id for place in page} or not all(p.score == p.score for p in page):
                reasons.append(f"user {request.user_id!r} gets no usable list from {pushed.models()}")
        if self.options.check and not reasons:
            tried = subprocess.run(self.options.check, shell=True, capture_output=True, text=True)  # Theirs.
            if tried.returncode:
                said = (tried.stderr or tried.stdout).strip()[-500:]
                reasons.append(f"`{self.options.check}` exited {tried.returncode}" + (f": {said}" if said else ""))
        return reasons

    def _finish(self, run: dict[str, Any], ledger: dict[str, Any], outcome: str, **facts: Any) -> None:
        finished_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        run.update(facts, outcome=outcome, finished_at=finished_at)
        _write_ledger(self.root, ledger)

    def _no_trigger(self, ledger: Mapping[str, Any], verdicts: Mapping[str, Verdict]) -> str:
        """Why not to retrain; empty if there is a reason to, or nothing was asked for."""
        options = self.options
        finished = [run for run in ledger["runs"] if "finished_at" in run]
        if not finished or (
            options.if_older_than is None and options.min_new_events is None and not options.on_drift
        ):
            return ""
        new = [span for span, verdict in verdicts.items() if verdict.is_good and span not in finished[-1]["good"]]
        whys = []
        if options.if_older_than is not None:
            then = datetime.datetime.fromisoformat(finished[-1]["finished_at"])
            days = (datetime.datetime.now(datetime.UTC) - then) / datetime.timedelta(days=1)
            if days >= options.if_older_than:
                return ""
            whys.append(f"the last retraining is {days:.1f} days old, of {options.if_older_than:g}")
        if options.min_new_events is not None:
            events = sum(verdicts[span].events for span in new)
            if events >= options.min_new_events:
                return ""
            whys.append(f"{events:,} new events, of {options.min_new_events:,}")
        if options.on_drift:
            if any(verdicts[span].drifted for span in new):
                return ""
            whys.append(f"no drift in {len(new)} new spans")
        return "; ".join(whys)

    def _configs(self, spans: str = "", base: str = "") -> dict[str, Any]:
        defaults: dict[str, dict[str, Any]] = {
            "pusher": {"serving_dir": str(self.root / "serving")},
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
        models = trace(self._metadata, str(version))["made_by"]["inputs"]
        trainers = {retrieval_trainer: "retrieval_model", ranking_trainer: "ranking_model"}
        paths = {trainer: pathlib.Path(models[name]["path"]) for trainer, name in trainers.items()}
        return {
            trainer.__name__.rpartition(".")[2]: _known(trainer, {"base_model": str(path)})
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
        text = json.dumps([digests, code, _plain(self._configs()), self.options.refit], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _made_by_first_run(self, run: Mapping[str, Any], all_spans: list[str]) -> dict[str, Any]:
        """The end of this retraining, if `homefeed run` has made what is in service from just this; else nothing."""
        if not run["base"]:
            return {}
        traced = trace(self._metadata, str(self._version()))
        made = summarize(traced)
        same_data = made["dataset"] == [{"path": str(self.data), "digest": DatasetDir(self.data).digest()}]
        same_spans = (made["spans"] or all_spans) == run["spans"]
        titles = {node.name: node.component.title for node in recommender(DatasetDir(self.data)).nodes}
        mine = {titles[name]: config for name, config in _plain(self._configs()).items()}
        mine["ExampleGen"]["spans"] = made["config"]["ExampleGen"]["spans"]
        if not (same_data and same_spans and all(mine.get(name) == made["config"][name] for name in made["config"])):
            return {}
        return {"outcome": "pushed", "pushed": run["base"], "finished_at": traced["made_by"]["finished_at"]}

    @property
    def _metadata(self) -> str:
        return self.metadata or str(self.root / "metadata.sqlite")

    def _in_service(self) -> str:
        """The PushedModel that is the stable version, as its folder; empty before the first."""
        version = self._version()
        store = MetadataStore(self._metadata)
        for record in sorted(store.all("PushedModel"), key=lambda record: -record.id):
            pushed = PushedModel(record.path)
            if pushed.is_intact() and pushed.read_json(PushedModel.FILE)["version"] == version:
                return str(record.path)
        return ""

    def _version(self) -> int | None:
        from homefeed.serving.releases import ReleaseError, Releases

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


def _plain(configs: Mapping[str, Any]) -> dict[str, Any]:
    """As they are recorded."""
    plain: dict[str, Any] = json.loads(
        json.dumps({n: dataclasses.asdict(c) for n, c in configs.items()}, default=str)
    )
    return plain


def _known(module: ModuleType, fields: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(module.Config)}
    return {name: value for name, value in fields.items() if name in names}


def _spoken(spans: Sequence[str]) -> str:
    return "all data" if spans == [""] else f"span {spans[0]}" if len(spans) == 1 else f"spans {', '.join(spans)}"


def _read_ledger(root: pathlib.Path) -> dict[str, Any]:
    file = root / LEDGER
    if not file.is_file():
        return {"spans": {}, "runs": []}
    try:
        ledger: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise RunError(f"{file} is not what a retraining wrote ({error}); move it away to begin anew") from error
    return ledger


def _write_ledger(root: pathlib.Path, ledger: Mapping[str, Any]) -> None:
    """In one step: a crash leaves the old one or the new one."""
    with tempfile.NamedTemporaryFile("w", dir=root, prefix=f".{LEDGER}.", delete=False, encoding="utf-8") as file:
        json.dump(ledger, file, ensure_ascii=False, indent=2)
    os.replace(file.name, root / LEDGER)
