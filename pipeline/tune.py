"""Hyper-parameter search: trials are ordinary runs, judged on the eval split, and any of them can be resumed."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import optuna

from homefeed.components.artifacts.types import GateClosed, ModelEvaluation
from homefeed.pipeline.config import ConfigError, load_config
from homefeed.pipeline.dag import Dag
from homefeed.pipeline.runner.local_runner import Observer, Step, run_pipeline
from homefeed.pipeline.runner.metadata import MetadataStore, Run
from homefeed.pipeline.runner.root import RunRoot

METHODS = ("retrieval + ranking", "retrieval")
SEARCHED = ("transform", "retrieval_trainer", "behavior_pretrainer", "ranking_trainer", "fuser")
"""The components whose settings make models better or worse. Those of others change what is asked, or nothing."""
_LOG_FROM = 10  # A range whose end is this many times its start is searched by order of magnitude.


@dataclasses.dataclass(frozen=True)
class Range:
    """What one field may be: numbers from `low` to `high`, or one of `choices`."""

    name: str  # component.field
    low: float = 0.0
    high: float = 0.0
    choices: tuple[Any, ...] = ()

    def suggest(self, trial: optuna.Trial) -> Any:
        """A value for a trial."""
        if self.choices:
            return trial.suggest_categorical(self.name, list(self.choices))
        log = self.low > 0 and self.high >= _LOG_FROM * self.low
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.name, self.low, self.high, log=log)
        return trial.suggest_float(self.name, float(self.low), float(self.high), log=log)


@dataclasses.dataclass(frozen=True)
class Trial:
    """One finished trial: its settings, NDCG@10 on eval, and the evaluation that it came from."""

    number: int
    settings: dict[str, Any]
    value: float
    evaluation: str


def parse_range(text: str) -> Range:
    """Reads `component.field=low..high` or `component.field=a,b,c`.

    Raises:
        ConfigError: it is neither.
    """
    name, equals, values = text.partition("=")
    if equals and name.count(".") == 1 and all(name.split(".")):
        if ".." in values:
            low, high = (_number(end) for end in values.split("..", 1))
            if low is not None and high is not None and low < high:
                return Range(name, low, high)
        elif values:
            return Range(name, choices=tuple(values.split(",")))
    raise ConfigError(
        f"{text!r} should read component.field=low..high or component.field=a,b,c, "
        "as in ranking_trainer.learning_rate=1e-4..1e-2 or ranking_trainer.width=32,64"
    )


def tune(
    dag: Dag,
    ranges: Sequence[Range],
    root: pathlib.Path,
    *,
    name: str,
    num_trials: int,
    file: pathlib.Path | None = None,
    settings: Sequence[str] = (),
    defaults: dict[str, dict[str, Any]] | None = None,
    metadata: str | None = None,
    seed: int = 0,
    finished: Callable[[Trial], None] = lambda trial: None,
) -> list[Trial]:
    """Runs trials until there are `num_trials`, those of earlier calls with the same search included.

    Every trial is a run of the pipeline up to the Evaluator: what it shares with others is answered from the cache,
    and its executions, configurations and artifacts are in the lineage as any run's. The trial itself is recorded as
    an execution `Tuner` that read the evaluation. The search (tree-structured Parzen estimators; Bergstra et al.,
    2011) keeps its state in `tune.sqlite` in the root. A trial that was interrupted is taken up again.

    Args:
        dag: the recommender.
        ranges: what is searched.
        root: of the runs.
        name: the pipeline's name in the metadata.
        num_trials: in all.
        file: configuration of what is not searched.
        settings: `component.field=value`, the same.
        defaults: as in `load_config`.
        metadata: as in `run_pipeline`.
        seed: of the search.
        finished: called after each new trial.

    Returns:
        All finished trials, best first.

    Raises:
        ConfigError: a range names what does not exist or changes the question, or a value is of the wrong kind.
    """
    place = RunRoot(root)
    ranges = [_typed(dag, searched, file, settings, defaults) for searched in ranges]
    study = _study(root, (name, *map(str, ranges), *settings, file.read_text("utf-8") if file else ""), seed)
    while len(_finished(study, place)) < num_trials:
        trial = study.ask()
        chosen = {searched.name: searched.suggest(trial) for searched in ranges}
        given = [*settings, *(f"{field}={value}" for field, value in chosen.items())]
        configs = load_config(dag, file, given, defaults)
        evaluation = _evaluate(dag, configs, root, name, metadata)
        value = _objective(evaluation)
        trial.set_user_attr("evaluation", place.portable(str(evaluation)))
        result = Trial(trial.number, chosen, value, str(evaluation))
        _record(MetadataStore(place, metadata), name, study.study_name, result)
        study.tell(trial, value)
        finished(result)
    return sorted(_finished(study, place), key=lambda trial: -trial.value)


def _typed(dag: Dag, searched: Range, file: Any, settings: Iterable[str], defaults: Any) -> Range:
    """With choices of the field's type; every one, and both ends of a range, are tried before hours are spent."""
    component, _, field = searched.name.partition(".")
    if component in dag.names() and component not in SEARCHED:
        raise ConfigError(
            f"{searched.name} cannot be searched: trials are compared by their answers to one question, and it "
            f"changes the question or nothing; settings of {', '.join(SEARCHED)} can, this one belongs into --set"
        )

    def tried(value: object) -> Any:
        configs = load_config(dag, file, [*settings, f"{searched.name}={value}"], defaults)
        return getattr(configs[component], field)

    if not searched.choices:
        tried(searched.low), tried(searched.high)
    return dataclasses.replace(searched, choices=tuple(map(tried, searched.choices)))


def _study(root: pathlib.Path, identity: Iterable[str], seed: int) -> optuna.Study:
    root.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=hashlib.sha256("\n".join(identity).encode()).hexdigest()[:12],
        storage=f"sqlite:///{RunRoot(root).studies}",
        direction="maximize",
        load_if_exists=True,
    )
    # The draws of an earlier call are not repeated.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    for trial in study.trials:
        if trial.state == optuna.trial.TrialState.RUNNING:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
    return study


def _finished(study: optuna.Study, root: RunRoot) -> list[Trial]:
    done = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    evaluations = [root.placed(trial.user_attrs.get("evaluation", "")) for trial in done]
    return [Trial(t.number, t.params, float(t.value or 0), place) for t, place in zip(done, evaluations, strict=True)]


def _evaluate(dag: Dag, configs: dict[str, Any], root: pathlib.Path, name: str, metadata: str | None) -> pathlib.Path:
    """Runs up to the Evaluator; where its figures lie."""
    steps: list[Step] = []
    observer: Observer = lambda title: _collect(steps)  # noqa: E731
    try:
        run_pipeline(dag, configs, root, name=name, observer=observer, until="evaluator", metadata=metadata)
    except GateClosed:
        if steps[-1].component != "Evaluator":  # A verdict on the models stops no search; one on the data does.
            raise
    return steps[-1].outputs["evaluation"]


@contextlib.contextmanager
def _collect(steps: list[Step]) -> Iterator[Callable[[Step], None]]:
    yield steps.append


def _objective(evaluation: pathlib.Path) -> float:
    """NDCG@10 on eval, for what lists are sorted for, of the whole chain where there is one."""
    methods = ModelEvaluation(evaluation).read_json("metrics.json")["eval"]
    figures = next(methods[method] for method in METHODS if method in methods)
    return float(next((figures[name] for name in figures if name.startswith("ndcg@10 ")), figures["ndcg@10"]))


def _record(store: MetadataStore, name: str, study: str, trial: Trial) -> None:
    properties = {
        "trial": str(trial.number),
        "study": study,
        "settings": json.dumps(trial.settings, sort_keys=True),
        "eval_ndcg@10": f"{trial.value:.6f}",
        "finished_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    evaluation = ModelEvaluation(pathlib.Path(trial.evaluation))
    inputs = {"evaluation": (evaluation, evaluation.digest())}
    store.record(Run("Tuner", f"{study}.{trial.number}", properties), name, inputs, {})


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return None
