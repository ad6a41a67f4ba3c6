"""Few users, and another data set: what an encoder that was trained before is worth to the text model.

    python -m benchmarks.few_shot --bert-preset FOLDER [--seeds 0 1 2] [--from PATH_OR_URL] [--quick]

As in `benchmarks.text`, a fifth of MovieLens' items is hidden from training, and the test split's picks of them are
ranked among them by text alone. *Few users*: heads are fitted on the training split of 16, 64 and 256 users, drawn
for each seed, on a random BERT, on a bag of words and on the sentence encoder. *Another data set*: BERT and heads
learn from the simulated store, and rank films, whose log they have never seen. Both data sets are read in the
encoder's vocabulary; readings are on the scale of the items that are ranked. *Popularity* counts the hidden items'
own events of the training split, which nobody knows of a new item. Writes `results.json` and `few_shot.md`;
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

from benchmarks import results
from benchmarks.retrieval import MOVIELENS, Data
from benchmarks.text import QUICK, Trial, gain, hide, prepare, rank
from homefeed.models.evaluation import metrics
from homefeed.models.sequences import Sequences
from homefeed.models.text import fitting
from homefeed.models.text.settings import Settings

SHOTS = (16, 64, 256)
FINE_TUNING = {"fine_tuning_steps": 100}  # One round.
POPULARITY = "popularity, if it were known"
Floats = npt.NDArray[np.float64]
Reader = Callable[[npt.NDArray[np.int32]], npt.NDArray[np.float32]]


@dataclasses.dataclass(frozen=True)
class Run:
    """One seed: row of the table → arm → [num_queries] NDCG@10, and who asked each query."""

    ndcg: dict[str, dict[str, Floats]]
    users: npt.NDArray[np.int64]


def remembered(reader: Reader) -> Reader:
    """Reads the same texts once."""
    known: dict[bytes, npt.NDArray[np.float32]] = {}

    def read(token_ids: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        key = token_ids.tobytes()
        if key not in known:
            known[key] = reader(token_ids)
        return known[key]

    return read


def few(parts: Data, num_users: int, seed: int) -> Data:
    """The same splits, of whose training split only some users are known."""
    train = parts.train
    kept = np.random.default_rng(seed).permutation(train.num_users)[:num_users]
    known = np.isin(np.repeat(np.arange(train.num_users), np.diff(train.row_splits)), kept)
    item_index = np.where(known, train.item_index, 0)
    counts = np.bincount(item_index[train.targets], minlength=parts.catalogue.num_rows)
    counts[0] = 0
    catalogue = dataclasses.replace(parts.catalogue, train_counts=counts.astype(parts.catalogue.train_counts.dtype))
    return dataclasses.replace(parts, catalogue=catalogue, train=_with(train, item_index))


def _with(sequences: Sequences, item_index: npt.NDArray[Any]) -> Sequences:
    return dataclasses.replace(sequences, item_index=item_index.astype(sequences.item_index.dtype))


def curve(whole: Data, vocabulary: list[str], preset: Reader, settings: Settings) -> tuple[dict[str, Any], Any]:
    """Row of the table → arm → NDCG@10, for each number of users; and who asked."""
    from homefeed.models.text import reading

    parts, rows = hide(whole, 0.2, settings.seed)
    found: dict[str, dict[str, Floats]] = {}
    for shots in SHOTS:
        trial = Trial(few(parts, shots, settings.seed), rows, vocabulary, settings)
        start = time.process_time()
        trial.arm(fitting.BAG_OF_WORDS, trial.bag_of_words(), start)
        trial.arm(fitting.FROZEN, trial.tokens.read(reading.Reader(trial.random_bert())), start)
        trial.arm(fitting.PRESET, trial.read_whole(preset), start, settings.preset_dropout)
        found[f"{shots} users"] = {name: arm.ndcg for name, arm in trial.arms.items()}
    return found, trial.users


def transfer(
    store: Data, films: Data, vocabulary: list[str], preset: Reader, settings: Settings
) -> dict[str, Floats]:
    """Arm → NDCG@10 on films of what learnt from the store."""
    from homefeed.models.text import reading

    source = Trial(store, np.arange(1, store.catalogue.num_rows), vocabulary, settings)
    parts, rows = hide(films, 0.2, settings.seed)
    target = Trial(parts, rows, vocabulary, settings)
    ranked = {POPULARITY: _by_popularity(films, target)}

    def keep(name: str, read: Any) -> None:
        ranked[name] = rank(source.heads[name], read, target.test, target.parts)

    start = time.process_time()
    source.arm(fitting.BAG_OF_WORDS, source.bag_of_words(), start)
    keep(fitting.BAG_OF_WORDS, _in_words_of(source, target))
    bert = source.random_bert()
    reader = reading.Reader(bert)
    heads = source.arm(fitting.FROZEN, source.tokens.read(reader), start)
    keep(fitting.FROZEN, target.tokens.read(reader))
    tuned = source.fitter.tune(bert, heads, vocabulary)
    source.keep(fitting.FINE_TUNED, tuned, start)
    keep(fitting.FINE_TUNED, target.tokens.read(reader))
    source.arm(fitting.PRESET, source.read_whole(preset), start, settings.preset_dropout)
    keep(fitting.PRESET, target.read_whole(preset))
    return ranked


def _in_words_of(source: Trial, target: Trial) -> Any:
    """The target's texts as bags of the words that the source learnt."""
    from homefeed.models.text import texts

    ours, theirs = source.tokens.items, target.tokens.items
    width = max(ours.shape[1], theirs.shape[1])
    items = np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in (ours, theirs)])
    both = texts.Tokens(items, target.tokens.queries)
    read = texts.bag_of_words(both, source.fitter.tasks.fitted.rows, len(source.vocabulary))
    return dataclasses.replace(read, items=read.items[len(ours) :])


def _by_popularity(films: Data, target: Trial) -> Floats:
    """[num_queries] NDCG@10 of the hidden items in the order of their own counts."""
    requests, rows = target.test.requests, target.test.rows
    scores = np.full((len(requests), films.catalogue.num_rows), -np.inf, np.float32)
    scores[:, rows] = films.catalogue.train_counts[rows]
    return metrics.ndcg(metrics.rank_targets(scores, requests.target, list(requests.history)), 10)


def report(runs: list[Run]) -> tuple[list[str], dict[str, float]]:
    """Markdown lines and the figures to keep."""
    users = np.concatenate([run.users for run in runs])
    lines = [
        f"| {len(users)} queries | learnt from | NDCG@10 | each seed | against {fitting.FROZEN} (95%) |",
        "|---|---|---:|---:|---:|",
    ]
    kept: dict[str, float] = {}
    for row, arms in runs[0].ndcg.items():
        ndcg = {name: np.concatenate([run.ndcg[row][name] for run in runs]) for name in arms}
        for name, values in ndcg.items():
            each = " ".join(f"{run.ndcg[row][name].mean():.4f}" for run in runs)
            against = ""
            if name != fitting.FROZEN:
                against = "{:+.1%} ({:+.1%} to {:+.1%})".format(*gain(values, ndcg[fitting.FROZEN], users))
            kept[f"{row}.{name}"] = float(values.mean())
            lines.append(f"| {name} | {row} | {values.mean():.4f} | {each} | {against} |")
    return lines, kept


def main() -> None:
    """Measures, prints, keeps."""
    from homefeed.models.text import bert as berts
    from homefeed.models.text import reading

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", default=str(MOVIELENS) if MOVIELENS.is_dir() else None)
    parser.add_argument("--bert-preset", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    preset = remembered(reading.Reader(berts.load_bert(arguments.bert_preset)))
    runs = []
    with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as name:
        folders = {data: pathlib.Path(name) / data for data in ("store", "movielens")}
        data = {}
        for which, folder in folders.items():
            folder.mkdir()
            data[which], vocabulary = prepare(which, arguments.source, folder, arguments.quick, arguments.bert_preset)
        for seed in arguments.seeds:
            settings = Settings(seed=seed, **(QUICK if arguments.quick else FINE_TUNING))
            found, users = curve(data["movielens"], vocabulary, preset, settings)
            found["the store"] = transfer(data["store"], data["movielens"], vocabulary, preset, settings)
            runs.append(Run(found, users))
    lines, figures = report(runs)
    head = f"Hidden films, ranked by text alone; seeds {arguments.seeds}."
    text = "\n".join(["# few shots", "", head, "", *lines, ""])
    print(text, flush=True)
    if not arguments.quick:
        results.merge("few_shot", {name: round(value, 4) for name, value in figures.items()})
        pathlib.Path(__file__).with_name("few_shot.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
