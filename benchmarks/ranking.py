"""Ranking quality on MovieLens-100K: ratings (P3), and retrieve-then-rank beside retrieval alone (P1, P2).

    python -m benchmarks.ranking [--from PATH_OR_URL] [--seeds 0 1 2] [--protocols p1 p2 p3]

P1 and P2 run the components with their defaults and ask the SavedModels, as the Evaluator does. P3 is random
80/10/10 with seed 42. Choices are made on the eval split, and the figures are of the test split. Writes
`results.json` and `ranking.md`.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import results
from benchmarks.retrieval import MOVIELENS, PROTOCOLS, prepare
from components.artifacts import Examples, Model, ModelRun, PretrainedBert, TransformGraph
from models.catalogue import Catalogue
from models.ranking.hyperparameters import Hyperparameters
from models.sequences import Sequences

TABLE = pathlib.Path(__file__).with_suffix(".md")
RATINGS = Hyperparameters(
    targets="any",
    num_targets=64,
    num_negatives=0,
    num_rated_events=500,
    epochs_without_text=6,
    epochs_with_text=0,
    learning_rate=5e-4,
    list_weight=0.0,
)
"""P3 has no order and no retrieval: other targets, no listwise loss, and as many ratings as there are."""

Floats = npt.NDArray[np.float64]
SPLIT_SEED = 42
NUM_BINS = 15  # Of the calibration error.


@dataclasses.dataclass(frozen=True)
class RatingData:
    """P3's splits."""

    catalogue: Catalogue
    vocabulary: list[str]
    train: Sequences
    evaluation: Sequences
    test: Sequences


def split_ratings(everything: Sequences, part: int) -> Sequences:
    """The events of one part (0 train, 1 eval, 2 test) of a random 80/10/10; the training events are history."""
    num_events = len(everything.item_index)
    place = np.empty(num_events, np.int64)
    place[np.random.RandomState(SPLIT_SEED).permutation(num_events)] = np.arange(num_events)
    parts = np.searchsorted([int(0.8 * num_events), int(0.9 * num_events)], place, side="right")
    user = np.repeat(np.arange(everything.num_users), np.diff(everything.row_splits))
    kept = np.flatnonzero((parts == 0) | (parts == part))
    kept = kept[np.lexsort((kept, parts[kept], user[kept]))]
    count = np.bincount(user[kept], minlength=everything.num_users)
    history = np.bincount(user[parts == 0], minlength=everything.num_users) if part else np.zeros_like(count)
    return dataclasses.replace(
        everything,
        row_splits=np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
        num_history=history.astype(np.int64),
        **everything.events_at(kept),
    )


def rating_data(source: str | None, folder: pathlib.Path) -> RatingData:
    """All events of MovieLens-100K, split anew."""
    from components import transformed

    data = prepare(source, "leave_one_out", folder)
    train, evaluation, test = (split_ratings(data.test, part) for part in range(3))
    counts = np.bincount(train.item_index, minlength=data.catalogue.num_rows).astype(np.int64)
    catalogue = dataclasses.replace(data.catalogue, train_counts=counts)
    return RatingData(
        catalogue, transformed.load_wordpiece(TransformGraph(folder / "graph")), train, evaluation, test
    )


def rating_figures(probability: Floats, rating: Floats, positive: Floats, value: Floats) -> dict[str, float]:
    """Brier score, AUC, log-loss and calibration error of P(positive); RMSE of the rating."""
    order = np.argsort(np.argsort(probability))
    wins = order[positive > 0].sum() - positive.sum() * (positive.sum() - 1) / 2
    safe = np.clip(probability, 1e-7, 1 - 1e-7)
    bins = np.minimum((probability * NUM_BINS).astype(int), NUM_BINS - 1)
    gaps = [abs((probability - positive)[bins == b].sum()) for b in range(NUM_BINS)]
    return {
        "brier": float(np.mean((probability - positive) ** 2)),
        "auc": float(wins / max(positive.sum() * (1 - positive).sum(), 1)),
        "log_loss": float(-np.mean(positive * np.log(safe) + (1 - positive) * np.log1p(-safe))),
        "ece": float(sum(gaps) / len(positive)),
        "rmse": float(np.sqrt(np.mean((rating - value) ** 2))),
    }


def measure_ratings(data: RatingData, seed: int) -> dict[str, dict[str, float]]:
    """Method → figures on the test split."""
    from models.behaviour_text.user_sequence import UserSequence, text_tables
    from models.ranking import bert, training
    from models.ranking.ranker import Ranker

    config = dataclasses.replace(RATINGS, seed=seed)
    bert.keras_seed(seed)
    start = time.process_time()
    backbone = bert.new_bert(len(data.vocabulary), layers=1, width=64, length=config.num_tokens, dropout=0.0)
    text = UserSequence(text_tables(data.vocabulary, data.catalogue, data.train), config.num_tokens)
    ranker = Ranker(backbone, text, data.catalogue, data.train, config)
    trained = training.fit(ranker, data.train, data.evaluation, _nothing, config)
    elapsed = time.process_time() - start
    probability, rating, positive, value = training.predict(trained, data.test)
    constant = np.full_like(positive, data.train.positive.mean())
    mean = np.full_like(value, data.train.value.mean())
    return {
        "constant": rating_figures(constant, mean, positive, value),
        "homefeed": rating_figures(probability, rating, positive, value) | {"cpu_seconds": elapsed},
    }


def _nothing(sequences: Sequences, moments: Any, k: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    return np.zeros((len(moments), k), np.int32), np.zeros((len(moments), k), np.float32)


def measure_ranking(source: str | None, split: str, folder: pathlib.Path, seed: int) -> dict[str, float]:
    """Runs the components with their defaults; figures of the test split, CPU seconds and latency."""
    from components import behavior_pretrainer, evaluator, ranking_trainer, retrieval_trainer
    from models import metrics
    from serving.predictors import LocalPredictor
    from serving.recommender import RANKING, RETRIEVAL, Recommender

    data = prepare(source, split, folder)
    graph, examples = TransformGraph(folder / "graph"), Examples(folder / "examples")
    bert, models = PretrainedBert(folder / "bert"), {name: Model(folder / name) for name in (RETRIEVAL, RANKING)}
    runs = iter(ModelRun(folder / f"run{number}") for number in range(3))
    retrieval_trainer.run(
        retrieval_trainer.Inputs(graph, examples),
        retrieval_trainer.Outputs(models[RETRIEVAL], next(runs)),
        retrieval_trainer.Config(seed=seed),
    )
    pretraining = _cpu_seconds(
        lambda: behavior_pretrainer.run(
            behavior_pretrainer.Inputs(graph, examples),
            behavior_pretrainer.Outputs(bert, next(runs)),
            behavior_pretrainer.Config(seed=seed),
        )
    )
    training = _cpu_seconds(
        lambda: ranking_trainer.run(
            ranking_trainer.Inputs(graph, examples, bert, models[RETRIEVAL]),
            ranking_trainer.Outputs(models[RANKING], next(runs)),
            ranking_trainer.Config(seed=seed),
        )
    )
    recommender = Recommender(LocalPredictor({name: model.serving_dir for name, model in models.items()}))
    ranks = evaluator.evaluate(recommender, data.train, data.test, data.catalogue, evaluator.Config())
    alone, ranked = (metrics.ndcg(ranks[row], 10) for row in (evaluator.RETRIEVAL_ROW, evaluator.RANKING_ROW))
    difference, low, high = metrics.paired_bootstrap(ranked, alone)
    return {
        "retrieval.ndcg@10": float(alone.mean()),
        "ranked.ndcg@10": float(ranked.mean()),
        "gain": difference / float(alone.mean()),
        "gain.low": low / float(alone.mean()),
        "gain.high": high / float(alone.mean()),
        "pretraining.cpu_seconds": pretraining,
        "training.cpu_seconds": training,
        **measure_latency(models[RANKING].serving_dir, data.catalogue),
    }


def measure_latency(folder: pathlib.Path, catalogue: Catalogue, repetitions: int = 300) -> dict[str, float]:
    """Milliseconds of `rank`, in process: one user with 64 events, 100 candidates."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder))
    rank = model.signatures["rank"]
    item_ids = catalogue.item_ids[1:].tolist()
    given = {
        "candidates": tf.constant([item_ids[:100]]),
        "retrieval_scores": tf.range(float(min(100, len(item_ids))))[None],
        "history": tf.constant([item_ids[-64:]]),
        "history_value": tf.fill([1, min(64, len(item_ids))], 4.0),
        "history_timestamp": tf.fill([1, min(64, len(item_ids))], tf.constant(880_000_000, tf.int64)),
        "timestamp": tf.constant([880_000_100], tf.int64),
    }
    inputs = {}
    for name, spec in rank.structured_input_signature[1].items():
        shape = [1] * spec.shape.rank
        blank = tf.fill(shape, "") if spec.dtype == tf.string else tf.zeros(shape, spec.dtype)
        inputs[name] = given.get(name, blank)
    seconds = []
    for _ in range(repetitions + 20):
        start = time.perf_counter()
        rank(**inputs)["scores"].numpy()
        seconds.append(time.perf_counter() - start)
    p50, p99 = np.percentile(seconds[20:], [50, 99]) * 1000
    return {"latency.p50_ms": float(p50), "latency.p99_ms": float(p99)}


def _cpu_seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def summarize(runs: Sequence[dict[str, float]]) -> dict[str, str | float]:
    """Name → median over seeds."""
    return {name: round(statistics.median(run[name] for run in runs), 4) for name in runs[0]}


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", default=str(MOVIELENS) if MOVIELENS.is_dir() else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--protocols", nargs="+", choices=[*PROTOCOLS, "p3"], default=[*PROTOCOLS, "p3"])
    arguments, _ = parser.parse_known_args()
    kept: dict[str, Any] = {}
    for protocol in arguments.protocols:
        runs: list[dict[str, float]] = []
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as folder:
                if protocol == "p3":
                    methods = measure_ratings(rating_data(arguments.source, pathlib.Path(folder)), seed)
                    runs.append({f"{m}.{name}": v for m, figures in methods.items() for name, v in figures.items()})
                else:
                    runs.append(measure_ranking(arguments.source, PROTOCOLS[protocol], pathlib.Path(folder), seed))
            print(protocol, seed, {name: round(value, 4) for name, value in runs[-1].items()}, flush=True)
        kept |= {f"{protocol}.{name}": value for name, value in summarize(runs).items()}
    results.merge("ranking", kept)
    lines = [f"MovieLens-100K, median of the seeds {arguments.seeds}.", "", "| figure | value |", "|---|---:|"]
    lines += [f"| {name} | {value} |" for name, value in kept.items()]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
