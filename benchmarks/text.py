"""What reading texts is worth where nothing else is known: hidden items, ranked among themselves (P4).

    python -m benchmarks.text [--data store movielens] [--seeds 0 1 2] [--from PATH_OR_URL] [--bert-preset FOLDER]
                              [--hide 0.2] [--quick]

A fifth of the items, another one for each seed, is taken out of training whole: out of its events, its histories and
its counts. Events of the test split with these items are ranked among them, by text alone. Every arm gets heads of
its own, fitted until they are best on items hidden from training too, a tenth of the others; the test split decides
nothing. Intervals are a paired bootstrap over users, the seeds' queries together. `--hide 0` hides nothing, and ranks
the whole catalogue. `store` has 1,000 items and users and 40,000 events; `--data restaurants`
has few events of each of 3,000 users, and names and addresses in Chinese. Writes `results.json` and `text_<data>.md`.
`--quick` shows that everything runs, and writes nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import _restaurants, results
from benchmarks.retrieval import MOVIELENS, Data, split_dataset
from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import DatasetDir, TransformGraph
from homefeed.models.evaluation import metrics
from homefeed.models.sequences import Sequences
from homefeed.models.text.settings import Settings

HERE = pathlib.Path(__file__).parent
DATA = ("store", "movielens", "restaurants")
STORE = {"num_users": 1000, "num_items": 1000, "num_events": 40_000}
QUICK_STORE = {"num_users": 60, "num_items": 80, "num_events": 1200}
QUICK_RESTAURANTS = {"num_users": 200, "num_items": 80, "num_events": 1200}
CONVERGED = {"head_steps": 1500}  # Those of the pipeline's 600 are still getting better on the store.
QUICK = {"head_steps": 50, "fine_tuning_steps": 5}
WIDTH, LENGTH = 128, 128

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Ranked:
    """One arm on the test split.

    Attributes:
        ndcg: [num_queries] NDCG@10.
        nats: on the items that were held out to choose by.
        cpu_seconds: of fitting.
    """

    ndcg: Floats
    nats: float
    cpu_seconds: float


@dataclasses.dataclass(frozen=True)
class Run:
    """One seed: the arms, and who asked each query."""

    arms: dict[str, Ranked]
    users: npt.NDArray[np.int64]


def prepare(data: str, source: str | None, folder: pathlib.Path, quick: bool, preset: str) -> tuple[Data, list[str]]:
    """The splits and the vocabulary."""
    from homefeed.pipeline.datasets import movielens, sample

    dataset = DatasetDir(folder / "data")
    if data == "movielens":
        movielens.write_movielens_100k(dataset.path, source)
    elif data == "restaurants":
        _restaurants.write_restaurants(dataset.path, **(QUICK_RESTAURANTS if quick else {}))
    else:
        sample.write_sample(dataset.path, **(QUICK_STORE if quick else STORE))
    parts = split_dataset(dataset, "temporal", folder, preset)
    return parts, transformed.load_wordpiece(TransformGraph(folder / "graph"))


def hide(parts: Data, share: float, seed: int) -> tuple[Data, npt.NDArray[np.int64]]:
    """Takes a share of the items out of the training split.

    Returns:
        The splits, and the rows that are hidden; all rows where `share` is 0.
    """
    rows = np.arange(1, parts.catalogue.num_rows)
    hidden = np.sort(np.random.default_rng(seed).choice(rows, int(len(rows) * share), replace=False))
    counts = parts.catalogue.train_counts.copy()
    counts[hidden] = 0
    catalogue = dataclasses.replace(parts.catalogue, train_counts=counts)
    return dataclasses.replace(parts, catalogue=catalogue, train=_without(parts.train, hidden)), (
        hidden if len(hidden) else rows
    )


def _without(sequences: Sequences, rows: npt.NDArray[np.int64]) -> Sequences:
    hidden = np.isin(sequences.item_index, rows)
    return dataclasses.replace(sequences, item_index=np.where(hidden, 0, sequences.item_index))


class Trial:
    """Arms on one division of items: heads are fitted, and the test split's events with `rows` ranked among them.

    Args:
        parts: the splits.
        rows: items to be told apart.
        vocabulary: tokens by id.
        settings: the text model's.

    Attributes:
        arms: what was fitted.
        heads: of each arm.
        tokens: the texts.
        test: the test split's events.
    """

    def __init__(self, parts: Data, rows: npt.NDArray[np.int64], vocabulary: list[str], settings: Settings):
        from homefeed.models.text import fitting, reading, requests, texts
        from homefeed.models.text.requests import Requests
        from homefeed.models.text.tasks import Task, Tasks, unique_queries

        tasks = Tasks.of(parts.catalogue, parts.train, parts.evaluation, settings)
        asked = requests.of_events(parts.test, rows, dataclasses.replace(settings, max_requests=10**9))
        none = np.zeros((len(tasks.queries), 1), np.int32)
        self._queries, (row, query) = unique_queries(Requests(none, tasks.queries, none[:, 0]), asked)
        known = texts.shared_words(parts.catalogue, tasks.train.requests, len(vocabulary))
        known_picks = (tasks.train, tasks.fitted, tasks.judged, tasks.warm)
        learnt = (dataclasses.replace(task, query=row[task.query]) for task in known_picks)
        self.parts, self.vocabulary, self.settings = parts, vocabulary, settings
        self.test = Task(asked, query, rows, tasks.train.log_counts)
        self.tokens = texts.Tokens.of(parts.catalogue, self._queries, reading.Ends(vocabulary, LENGTH, known))
        self.fitter = fitting.Fitter(Tasks(*learnt, self._queries), self.tokens, settings)
        self.users = np.searchsorted(parts.test.row_splits, _positions(parts.test, rows), side="right") - 1
        self.arms: dict[str, Ranked] = {}
        self.heads: dict[str, Any] = {}

    def bag_of_words(self) -> Any:
        """What any reading has to beat."""
        from homefeed.models.text import texts

        return texts.bag_of_words(self.tokens, self.fitter.tasks.fitted.rows, len(self.vocabulary))

    def random_bert(self) -> Any:
        """A compact one that has learnt nothing."""
        from homefeed.models.text import bert as berts

        berts.keras_seed(self.settings.seed)
        dropout = self.settings.bert_dropout
        return berts.new_bert(len(self.vocabulary), layers=1, width=WIDTH, length=LENGTH, dropout=dropout)

    def read_whole(self, reader: Callable[[npt.NDArray[np.int32]], npt.NDArray[np.float32]]) -> Any:
        """Readings of every word, as a sentence encoder reads."""
        from homefeed.models.text import reading, texts

        return texts.Tokens.of(self.parts.catalogue, self._queries, reading.Ends(self.vocabulary, LENGTH)).read(
            reader
        )

    def arm(self, name: str, read: Any, start: float, dropout: float | None = None) -> Any:
        """Fits heads, keeps what they are worth, and returns those that hidden items chose."""
        heads = self.fitter.arm(name, read, dropout)
        self.keep(name, read, start)
        return heads

    def keep(self, name: str, read: Any, start: float) -> None:
        """Heads once more on everything; how they rank."""
        self.heads[name] = self.fitter.on_everything(name, read)
        seconds = time.process_time() - start
        ndcg = rank(self.heads[name], read, self.test, self.parts)
        self.arms[name] = Ranked(ndcg, self.fitter.arms[name].nats, seconds)
        print(self.settings.seed, name, round(float(ndcg.mean()), 4), round(seconds, 1), flush=True)


def measure(parts: Data, rows: npt.NDArray[np.int64], vocabulary: list[str], preset: str, settings: Settings) -> Run:
    """Fits every arm."""
    from homefeed.models.text import bert as berts
    from homefeed.models.text import fitting, reading

    trial = Trial(parts, rows, vocabulary, settings)
    bert = trial.random_bert()
    trial.arm(fitting.BAG_OF_WORDS, trial.bag_of_words(), time.process_time())
    start = time.process_time()
    heads = trial.arm(fitting.FROZEN, trial.tokens.read(reading.Reader(bert)), start)
    tuned = trial.fitter.tune(bert, heads, vocabulary)
    trial.keep(fitting.FINE_TUNED, tuned, start)
    trial.arm(fitting.SHUFFLED, tuned.shuffled(settings.seed), time.process_time())
    if preset:
        start = time.process_time()
        beside = trial.read_whole(reading.Reader(berts.load_bert(preset)))
        trial.arm(fitting.PRESET, beside, start, settings.preset_dropout)
        both = f"{fitting.FINE_TUNED} beside {fitting.PRESET}"
        trial.arm(both, tuned.beside(beside), start, settings.preset_dropout)
    return Run(trial.arms, trial.users)


def rank(heads: Any, read: Any, test: Any, parts: Data) -> Floats:
    """[num_queries] NDCG@10 among the task's items that the user has not had."""
    from homefeed.models.text import training

    all_known = len(test.rows) == parts.catalogue.num_rows - 1
    found = training.affinity(heads, read, test) + test.log_counts[test.rows] if all_known else None
    found = training.scores(heads, read, test) if found is None else found
    scores = np.full((len(found), parts.catalogue.num_rows), -np.inf, np.float32)
    scores[:, test.rows] = found
    ends = _positions(parts.test, test.rows)
    starts = parts.test.row_splits[np.searchsorted(parts.test.row_splits, ends, side="right") - 1]
    seen = [parts.test.item_index[start:end] for start, end in zip(starts, ends, strict=True)]
    return metrics.ndcg(metrics.rank_targets(scores, test.requests.target, seen), 10)


def _positions(sequences: Sequences, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return sequences.targets[np.isin(sequences.item_index[sequences.targets], rows)]


def gain(
    ours: Floats, theirs: Floats, users: npt.NDArray[np.int64], num_samples: int = 2000
) -> tuple[float, float, float]:
    """Relative gain of a mean with its 95% interval: whole users are drawn.

    Example:
        >>> gain(np.array([2.0, 2.0, 4.0]), np.array([1.0, 1.0, 2.0]), np.array([0, 0, 1]))
        (1.0, 1.0, 1.0)
    """
    _, user = np.unique(users, return_inverse=True)
    sums = np.stack([np.bincount(user, values) for values in (ours, theirs)])
    drawn = np.random.default_rng(0).multinomial(
        sums.shape[1], np.full(sums.shape[1], 1 / sums.shape[1]), num_samples
    )
    ratios = (drawn @ sums[0]) / np.maximum(drawn @ sums[1], 1e-12) - 1
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(ours.sum() / max(theirs.sum(), 1e-12) - 1), float(low), float(high)


def report(runs: list[Run]) -> tuple[list[str], dict[str, float]]:
    """Markdown lines and the figures to keep."""
    from homefeed.models.text import fitting

    users = np.concatenate([run.users for run in runs])
    ndcg = {name: np.concatenate([run.arms[name].ndcg for run in runs]) for name in runs[0].arms}
    rivals = (fitting.FROZEN, fitting.BAG_OF_WORDS)
    lines = [
        f"| {len(users)} queries | NDCG@10 | each seed | nats to choose by | against {rivals[0]} (95%) "
        f"| against {rivals[1]} (95%) | CPU s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    kept: dict[str, float] = {}
    for name, values in ndcg.items():
        arms = [run.arms[name] for run in runs]
        each = " ".join(f"{arm.ndcg.mean():.4f}" for arm in arms)
        nats, seconds = (float(np.mean([getattr(arm, key) for arm in arms])) for key in ("nats", "cpu_seconds"))
        kept |= {f"{name}.ndcg@10": float(values.mean()), f"{name}.nats": nats, f"{name}.cpu_seconds": seconds}
        columns = []
        for rival in rivals:
            found = gain(values, ndcg[rival], users)
            kept |= dict(zip((f"{name}.against {rival}{end}" for end in ("", ".low", ".high")), found, strict=True))
            columns.append("" if rival == name else f"{found[0]:+.1%} ({found[1]:+.1%} to {found[2]:+.1%})")
        lines.append(
            f"| {name} | {values.mean():.4f} | {each} | {nats:.3f} | {' | '.join(columns)} | {seconds:.0f} |"
        )
    return lines, kept


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", default=str(MOVIELENS) if MOVIELENS.is_dir() else None)
    parser.add_argument(
        "--data", choices=["store", "movielens", "restaurants"], nargs="+", default=["store", "movielens"]
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--hide", type=float, default=0.2)
    parser.add_argument("--bert-preset", default="")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    for data in arguments.data:
        runs = []
        with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as name:
            whole, vocabulary = prepare(
                data, arguments.source, pathlib.Path(name), arguments.quick, arguments.bert_preset
            )
            for seed in arguments.seeds:
                settings = Settings(seed=seed, **(QUICK if arguments.quick else CONVERGED))
                parts, rows = hide(whole, arguments.hide, seed)
                runs.append(measure(parts, rows, vocabulary, arguments.bert_preset, settings))
        lines, figures = report(runs)
        title = f"{data}{'-preset' if arguments.bert_preset else ''}{'' if arguments.hide else '-all'}"
        head = f"Hidden: {arguments.hide:.0%} of the items, another choice for each of the seeds {arguments.seeds}."
        text = "\n".join([f"# text, {title}", "", head, "", *lines, ""])
        print(text, flush=True)
        if not arguments.quick:
            results.merge(f"text.{title}", {name: round(value, 4) for name, value in figures.items()})
            (HERE / f"text_{title}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
