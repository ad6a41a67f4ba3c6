"""Twelve simulated weeks: retraining every week against a model that stays as it was, and two weeks of poisoned data.

    python -m benchmarks.loop [--weeks N] [--set component.field=value …]

The store changes: taste drifts, items come into and go out of fashion, new items and shoppers arrive. Each week its
span is handed to `retrain`, and then the models that are in service are asked about the events of the *next* week,
which nobody has seen yet, and so is the model of the first weeks. Week 5 comes with the event types of another
system, week 8 with item ids that were mixed up: the gate has to stop both.

Forgetting would show on two *old slices*: all questions of the first weeks' shoppers; and those of them whose
answer is an item of the first weeks, where both models may answer with such items only. (Without that, the old
model would win by knowing no others: it cannot spend a place of its page on what is new.)
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import dataclasses
import itertools
import json
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import results
from homefeed.models.requests import TensorSpec
from homefeed.serving.predictors import Predictor, Tensors

Floats = npt.NDArray[np.float64]

TABLE = pathlib.Path(__file__).with_suffix(".md")
POISONED = {5: "schema", 8: "ids"}
FIRST_WEEKS = 2  # What the first models learn from.
NUM_QUESTIONS = 1_000  # Of each week.
WINDOW, REPLAY = 5, 1
OLD_SLICES = ("old_users", "old_items")
OLD_MARGIN = 0.05  # Relative loss of NDCG@10 on old slices that is not forgetting.
MAX_ITEMS = 1_000  # More than the store has.
# Small enough for twelve trainings on two cores in a quarter of an hour.
SETTINGS = (
    "retrieval_trainer.epochs=6",
    "retrieval_trainer.width=32",
    "retrieval_trainer.num_layers=1",
    "behavior_pretrainer.num_layers=1",
    "behavior_pretrainer.width=64",
    "behavior_pretrainer.epochs=1",
    "behavior_pretrainer.points_per_user=1",
    "behavior_pretrainer.num_tokens=48",
    "ranking_trainer.width=16",
    "ranking_trainer.num_tokens=48",
    "ranking_trainer.points_per_user=2",
    "ranking_trainer.epochs_without_text=2",
    "ranking_trainer.epochs_with_text=1",
    "infra_validator.num_requests=5",
    "bulk_inferrer.max_users=50",
    # What stays unseen by the models is what is newest: the smaller, the fresher they are.
    "example_gen.eval_fraction=0.08",
    "example_gen.test_fraction=0.02",
)


@dataclasses.dataclass(frozen=True)
class Questions:
    """Events of a week, each with what its user did before it.

    Attributes:
        requests: homefeed.models.requests.Request, one an event.
        targets: [num_events] object (bytes), the items.
        of_old_user: [num_events] bool, whether the user was there in the first weeks.
        of_old_item: [num_events] bool, whether the item was.
        old_items: of the first weeks.
    """

    requests: list[Any]
    targets: npt.NDArray[np.object_]
    of_old_user: npt.NDArray[np.bool_]
    of_old_item: npt.NDArray[np.bool_]
    old_items: frozenset[bytes]

    def __getitem__(self, mask: npt.NDArray[np.bool_]) -> Questions:
        """Some of them."""
        requests = list(itertools.compress(self.requests, mask))
        return Questions(requests, self.targets[mask], self.of_old_user[mask], self.of_old_item[mask], self.old_items)


class Among:
    """A predictor that retrieves some items only.

    Args:
        predictor: retrieves all.
        item_ids: some of its items.
    """

    def __init__(self, predictor: Predictor, item_ids: frozenset[bytes]) -> None:
        self._predictor = predictor
        self._is_in = np.vectorize(item_ids.__contains__, otypes=[bool])

    def serves(self, model: str) -> bool:
        """Whether a model is there."""
        return self._predictor.serves(model)

    def inputs(self, model: str, signature: str) -> dict[str, TensorSpec]:
        """What a signature takes."""
        return self._predictor.inputs(model, signature)

    def predict(self, model: str, signature: str, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Calls a signature; of what is retrieved, keeps the best of the items."""
        if signature != "retrieve":
            return self._predictor.predict(model, signature, inputs)
        wide = {**inputs, "k": np.full_like(inputs["k"], MAX_ITEMS)}
        found = self._predictor.predict(model, signature, wide)
        others = ~self._is_in(found["item_ids"])
        best = np.argsort(others, axis=1, kind="stable")[:, : int(inputs["k"].max())]
        gone = np.take_along_axis(others, best, axis=1)
        kept = {name: np.take_along_axis(found[name], best, axis=1) for name in ("item_ids", "titles", "scores")}
        nothing = {"item_ids": b"", "titles": b"", "scores": np.finfo(np.float32).min}
        return found | {name: np.where(gone, nothing[name], column) for name, column in kept.items()}


def read_log(store: pathlib.Path, spans: Sequence[str]) -> list[dict[str, str]]:
    """The events of some spans, in order of time."""
    rows: list[dict[str, str]] = []
    for span in spans:
        with (store / "interactions" / f"{span}.csv").open(encoding="utf-8", newline="") as file:
            rows += csv.DictReader(file)
    return sorted(rows, key=lambda row: int(row["timestamp"]))


def make_questions(store: pathlib.Path, spans: Sequence[str], week: int) -> Questions:
    """About the events of `spans[week]`, sampled evenly."""
    from homefeed.models.requests import Event, Request

    before = {row["item_id"] for row in read_log(store, spans[:FIRST_WEEKS])}
    known = {row["user_id"] for row in read_log(store, spans[:FIRST_WEEKS])}
    with (store / "users" / f"{spans[week]}.csv").open(encoding="utf-8", newline="") as file:
        features = {row.pop("user_id"): _features(row) for row in csv.DictReader(file)}
    histories: dict[str, list[Any]] = {}
    requests, targets = [], []
    first = min(int(row["timestamp"]) for row in read_log(store, [spans[week]]))
    for row in read_log(store, spans[: week + 1]):
        history = histories.setdefault(row["user_id"], [])
        at = int(row["timestamp"])
        if at >= first:
            requests.append(Request(row["user_id"], tuple(history), features[row["user_id"]], at))
            targets.append(row["item_id"])
        history.append(Event(row["item_id"], float(row["value"] or "nan"), row["event_type"], at))
    chosen = np.linspace(0, len(requests) - 1, min(NUM_QUESTIONS, len(requests))).astype(int)
    chosen = chosen[np.argsort([len(requests[place].history) for place in chosen], kind="stable")]
    asked = [requests[place] for place in chosen]
    return Questions(
        asked,
        np.array([targets[place].encode() for place in chosen], object),
        np.array([request.user_id in known for request in asked], bool),
        np.array([targets[place] in before for place in chosen], bool),
        frozenset(item_id.encode() for item_id in before),
    )


def score(root: pathlib.Path, version: int, questions: Questions) -> dict[str, Floats]:
    """NDCG@10 of a pushed version on each slice: [num_questions of the slice]."""
    from homefeed.components.evaluator.answers import ask
    from homefeed.models.evaluation import metrics
    from homefeed.pipeline.runner.root import RunRoot
    from homefeed.serving.predictors import LocalPredictor
    from homefeed.serving.recommender import FUSED, RANKING, RETRIEVAL, Recommender, num_candidates_of

    serving = RunRoot(root).serving
    predictor = LocalPredictor({name: serving / name / str(version) for name in (RETRIEVAL, RANKING)})
    num_candidates = num_candidates_of(serving / FUSED / str(version))

    def ndcg(predictor: Predictor, questions: Questions) -> Floats:
        answers = ask(Recommender(predictor, num_candidates), questions.requests, questions.targets, 128)
        return metrics.ndcg(answers.ranking, 10)

    everything = ndcg(predictor, questions)
    old = questions[questions.of_old_user & questions.of_old_item]
    return {
        "all": everything,
        "old_users": everything[questions.of_old_user],
        "old_items": ndcg(Among(predictor, questions.old_items), old),
    }


def run_weeks(folder: pathlib.Path, num_weeks: int, settings: Sequence[str]) -> list[dict[str, Any]]:
    """Hands the weeks to `retrain` one after the other; one row a week."""
    from homefeed.components.artifacts.types import GateClosed
    from homefeed.models.evaluation import metrics
    from homefeed.pipeline.datasets.sample import write_weeks
    from homefeed.pipeline.loop.options import Options
    from homefeed.pipeline.loop.retrain import retrain

    clean, delivered, data, root = (folder / name for name in ("clean", "delivered", "data", "root"))
    spans = write_weeks(clean, num_weeks=num_weeks)
    write_weeks(delivered, num_weeks=num_weeks, poisoned=POISONED)
    _deliver(delivered, data, spans[: FIRST_WEEKS - 1])
    rows = []
    served = frozen = 0
    for week in range(FIRST_WEEKS, num_weeks + 1):
        started = time.monotonic()
        _deliver(delivered, data, [spans[week - 1]])
        stopped: list[str] = []
        try:
            outcome = retrain(data, root, Options(WINDOW, REPLAY), observer=_silent, settings=settings)
            served, verdict = outcome.version or 0, outcome.status
        except GateClosed as closed:
            stopped, verdict = list(closed.reasons), f"stopped: {closed.gate}"
        frozen = frozen or served
        row: dict[str, Any] = {"week": week, "span": spans[week - 1], "verdict": verdict, "reasons": stopped}
        row |= {"served": served, "seconds": time.monotonic() - started}
        if week < num_weeks:
            questions = make_questions(clean, spans, week)
            ours = score(root, served, questions)
            theirs = ours if served == frozen else score(root, frozen, questions)
            for name, fresh in ours.items():
                difference, low, high = metrics.paired_bootstrap(fresh, theirs[name], num_samples=2_000)
                figures = {"fresh": fresh.mean(), "frozen": theirs[name].mean()}
                figures |= {"gain": difference, "low": low, "high": high, "questions": len(fresh)}
                row[name] = {key: float(value) for key, value in figures.items()}
        rows.append(row)
        print(json.dumps(row, ensure_ascii=False), flush=True)
    return rows


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures that are kept."""
    asked = [row for row in rows if "all" in row]
    later = [row for row in asked if row["served"] > 1]
    poisoned = {row["week"]: row for row in rows if row["week"] in POISONED}
    figures: dict[str, Any] = {
        "weeks": len(rows) + FIRST_WEEKS - 1,
        "versions_served": max(row["served"] for row in rows),
        "seconds": round(sum(row["seconds"] for row in rows)),
        "poisoned_stopped": sum(row["verdict"] == f"stopped: span {row['span']}" for row in poisoned.values()),
        "poisoned_delivered": len(poisoned),
        "weeks_compared": len(later),
        "weeks_better": sum(row["all"]["gain"] > 0 for row in later),
        "weeks_better_beyond_chance": sum(row["all"]["low"] > 0 for row in later),
    }
    for slice_ in OLD_SLICES:
        parts = [row[slice_] for row in later]
        within = [part["high"] >= -OLD_MARGIN * part["frozen"] for part in parts]
        figures[f"{slice_}.weeks_within_margin"] = sum(within)
    if later:
        for name, slice_ in (("", "all"), *((f"{slice_}.", slice_) for slice_ in OLD_SLICES)):
            for model in ("fresh", "frozen"):
                mean = float(np.mean([row[slice_][model] for row in later]))
                figures[f"{name}ndcg@10.{model}"] = round(mean, 4)
            gains = [row[slice_]["gain"] / row[slice_]["frozen"] for row in later]
            figures[f"{name}gain.least"], figures[f"{name}gain.mean"] = (
                round(float(value), 4) for value in (min(gains), np.mean(gains))
            )
    return figures


def to_markdown(rows: Sequence[dict[str, Any]], figures: dict[str, Any]) -> str:
    """A line a week, and the figures that are kept."""
    lines = [
        "NDCG@10 on the events of the week after, of the models in service and of the first ones, which stayed as",
        "they were; on all questions, on those of the first weeks' shoppers, and on how well the first weeks' items",
        f"are ordered among themselves for them. Window: {WINDOW} weeks and {REPLAY} older one.",
        "`make bench PART=loop` makes this page.",
        "",
        "| week | verdict | served | in service | frozen | gain (95%) "
        "| old users: in service | frozen | old items: in service | frozen |",
        "|---:|---|---:|---:|---:|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = [str(row["week"]), row["verdict"], str(row["served"])]
        if "all" in row:
            everything = row["all"]
            gain = f"{everything['gain']:+.4f} ({everything['low']:+.4f} to {everything['high']:+.4f})"
            cells += [f"{everything['fresh']:.4f}", f"{everything['frozen']:.4f}", gain]
            cells += [f"{row[slice_][model]:.4f}" for slice_ in OLD_SLICES for model in ("fresh", "frozen")]
        else:
            cells += [""] * 7
        lines.append(f"| {' | '.join(cells)} |")
    for row in rows:
        lines += ["", f"Week {row['week']} was stopped: {'; '.join(row['reasons'])[:400]}"] if row["reasons"] else []
    lines += ["", "| figure | value |", "|---|---:|", *(f"| {name} | {value} |" for name, value in figures.items())]
    return "\n".join(lines) + "\n"


def _deliver(store: pathlib.Path, data: pathlib.Path, spans: Sequence[str]) -> None:
    data.mkdir(exist_ok=True)
    shutil.copy(store / "dataset.yaml", data)
    for table, span in itertools.product(("interactions", "items", "users"), spans):
        (data / table).mkdir(exist_ok=True)
        shutil.copy(store / table / f"{span}.csv", data / table)


def _features(row: dict[str, str]) -> dict[str, Any]:
    return {name: float(value) if name == "age" else value for name, value in row.items() if value}


@contextlib.contextmanager
def _silent(title: str) -> Iterator[Any]:
    yield lambda step: None


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weeks", type=int, default=12)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    arguments, _ = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="homefeed-loop-") as folder:
        rows = run_weeks(pathlib.Path(folder), arguments.weeks, (*SETTINGS, *arguments.settings))
    figures = summarize(rows)
    if arguments.weeks == 12:
        results.merge("loop", figures)
        TABLE.write_text(to_markdown(rows, figures), encoding="utf-8")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
