"""Retrieval quality on MovieLens-100K: leave-one-out (P1) and global temporal (P2), beside the baselines.

    python -m benchmarks.retrieval [--from PATH_OR_URL] [--seeds 0 1 2] [--protocols p1 p2]

Full ranking of the whole catalogue; everything is fitted on the training split, choices are made on the eval
split, and the figures are of the test split. Writes `results.json` and `retrieval_<protocol>.md`.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import _baselines, results
from homefeed.components import evaluator
from homefeed.components.artifacts.types import DatasetDir, Examples, Quarantine, TransformGraph
from homefeed.components.evaluator import measured
from homefeed.models.catalogue import Catalogue
from homefeed.models.evaluation import baselines, beyond_accuracy, metrics
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.sequences import Sequences
from homefeed.schemas.dataset import FILE_NAME, load_dataset

PROTOCOLS = {"p1": "leave_one_out", "p2": "temporal"}
MOVIELENS = pathlib.Path(__file__).parents[2] / "shared" / "data" / "ml-100k"
COLUMNS = ("ndcg@10", "hr@10", "mrr@10", "recall@100")


@dataclasses.dataclass(frozen=True)
class Data:
    """One protocol's splits, and the test queries."""

    catalogue: Catalogue
    train: Sequences
    evaluation: Sequences
    test: Sequences


@dataclasses.dataclass(frozen=True)
class Result:
    """How one method ranked the test split's targets.

    Attributes:
        ranks: of the targets.
        cpu_seconds: of fitting, and of baselines also of scoring.
        character: what its lists of 10 are like; see `homefeed.models.evaluation.beyond_accuracy`.
    """

    ranks: metrics.Ranks
    cpu_seconds: float
    character: dict[str, float]


def prepare(source: str | None, split: str, folder: pathlib.Path) -> Data:
    """Runs ExampleGen and Transform on MovieLens-100K."""
    from homefeed.pipeline.datasets import movielens

    dataset = DatasetDir(folder / "data")
    movielens.write_movielens_100k(dataset.path, source)
    return split_dataset(dataset, split, folder)


def split_dataset(dataset: DatasetDir, split: str, folder: pathlib.Path, bert_preset: str = "") -> Data:
    """Runs ExampleGen and Transform; their outputs stay in the folder, as `graph` and `examples` among others.

    Lists are sorted for what comes next, unless the data set declares an objective.
    """
    from homefeed.components import example_gen, transform
    from homefeed.components.artifacts import transformed

    description = dataset.path / FILE_NAME
    if load_dataset(dataset.path).objective is None:
        description.write_text(
            description.read_text(encoding="utf-8") + "objective: interactions\n", encoding="utf-8"
        )
    tables = {name: Examples(folder / name) for name in ("interactions", "items", "users", "exposures")}
    example_gen.run(
        example_gen.Inputs(dataset),
        example_gen.Outputs(
            **tables, relations=Examples(folder / "relations"), quarantine=Quarantine(folder / "quarantine")
        ),
        example_gen.Config(split=split),
    )
    graph, examples = TransformGraph(folder / "graph"), Examples(folder / "examples")
    config = transform.Config(bert_preset=bert_preset)
    transform.run(transform.Inputs(dataset, **tables), transform.Outputs(graph, examples), config)
    splits = [transformed.load_sequences(graph, examples, name) for name in ("train", "eval", "test")]
    return Data(transformed.load_catalogue(graph), *splits)


def measure_baseline(fit: Callable[[], baselines.Baseline], data: Data) -> Result:
    """Fits a baseline and ranks."""
    from homefeed.models.retrieval.training.windows import Windows

    windows = Windows(data.test, 1)
    start = time.process_time()
    baseline = fit()
    histories = windows.histories(windows.targets)
    scores = baseline.scores(histories)
    elapsed = time.process_time() - start
    ranks = metrics.rank_targets(scores, windows.items(windows.targets), histories)
    return Result(ranks, elapsed, character(data, scores, histories))


def character(
    data: Data, scores: npt.NDArray[np.floating[Any]], histories: Sequence[npt.NDArray[np.int32]]
) -> dict[str, float]:
    """What the lists of 10 are like."""
    catalogue = data.catalogue
    pages = top_rows(scores, histories, 10)
    nothing = np.zeros((catalogue.num_rows, 1), np.int32)
    return {
        "coverage": beyond_accuracy.coverage(pages, catalogue.num_rows),
        "novelty": beyond_accuracy.novelty(pages, catalogue.train_counts),
        "popularity lift": beyond_accuracy.popularity_lift(pages, list(histories), catalogue.train_counts),
        "gini": beyond_accuracy.gini(pages, catalogue.num_rows),
        "diversity": beyond_accuracy.diversity(pages, catalogue.categorical.get("categories", nothing)),
    }


def top_rows(
    scores: npt.NDArray[np.floating[Any]], excluded: Sequence[npt.NDArray[np.integer[Any]]], k: int
) -> npt.NDArray[np.int64]:
    """[num_queries, k] rows of the best candidates, best first, 0 where fewer are left; see `rank_targets`."""
    lists = np.zeros((len(scores), k), np.int64)
    for query, seen in enumerate(excluded):
        row = np.nan_to_num(scores[query].astype(np.float64), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        is_candidate = np.ones(len(row), np.bool_)
        is_candidate[seen], is_candidate[0] = False, False
        candidates = np.flatnonzero(is_candidate)
        best = candidates[np.argsort(-row[candidates], kind="stable")[:k]]
        lists[query, : len(best)] = best
    return lists


def measure_retrieval(data: Data, config: Hyperparameters) -> tuple[Result, Result]:
    """Trains our model with the given settings and ranks, and ranks again as if nobody knew when it is asked."""
    from homefeed.models.retrieval.training import fit as training
    from homefeed.models.retrieval.training.windows import Windows

    start = time.process_time()
    trained = training.train(data.catalogue, data.train, data.evaluation, config)
    elapsed = time.process_time() - start
    windows = Windows(data.test, config.max_events)
    histories = windows.histories(windows.targets)

    def ranked() -> Result:
        scores = trained.scores(windows, windows.targets)
        ranks = metrics.rank_targets(scores, windows.items(windows.targets), histories)
        return Result(ranks, elapsed, character(data, scores, histories))

    timed = ranked()
    windows.timestamp = np.zeros_like(windows.timestamp)
    return timed, ranked()


def ids_only(data: Data) -> Data:
    """The same interactions without any feature of items or users: what SASRec sees."""
    catalogue = dataclasses.replace(
        data.catalogue,
        categorical={},
        numeric={},
        token_ids=np.zeros((data.catalogue.num_rows, 1), np.int32),
    )
    splits = [
        dataclasses.replace(split, categorical={}, numeric={}) for split in (data.train, data.evaluation, data.test)
    ]
    return Data(catalogue, *splits)


def slices(data: Data) -> dict[str, npt.NDArray[np.bool_]]:
    """Slice → mask over the test queries."""
    from homefeed.models.retrieval.training.windows import Windows

    windows = Windows(data.test, 1)
    targets = windows.targets
    counts = data.catalogue.train_counts[windows.items(targets)]
    lengths = np.array([len(history) for history in windows.histories(targets)])
    users = np.searchsorted(data.test.row_splits, targets, side="right") - 1
    trained = np.isin(data.test.user_ids[users], data.train.user_ids)
    return {
        "all": np.ones(len(targets), bool),
        "new items": counts == 0,
        "rare items (1-10)": (counts > 0) & (counts <= 10),
        "items with 11-100": (counts > 10) & (counts <= 100),
        "items with > 100": counts > 100,
        "new users": ~trained,
        "history < 10": lengths < 10,
        "history 10-49": (lengths >= 10) & (lengths < 50),
        "history >= 50": lengths >= 50,
    }


def measure(data: Data, seeds: Sequence[int]) -> dict[str, list[Result]]:
    """Method → a result for each seed."""

    def tuned_ease() -> baselines.Baseline:
        limits = evaluator.Config().limits
        return measured.fit_baselines(data.train, data.evaluation, data.catalogue, limits)[measured.EASE]

    untuned: dict[str, baselines.Baseline] = {
        "popularity": baselines.Popularity(),
        "ItemKNN": _baselines.ItemKNN(),
        "implicit ALS": _baselines.ImplicitALS(),
    }
    fits = {name: functools.partial(one.fit, data.train, data.catalogue.num_rows) for name, one in untuned.items()}
    found = {name: [measure_baseline(fit, data)] for name, fit in {**fits, "EASE": tuned_ease}.items()}
    # linear_rank 0: the towers alone.
    sasrec = Hyperparameters(linear_rank=0, cold_start_share=0.0)
    rival = [measure_retrieval(ids_only(data), dataclasses.replace(sasrec, seed=seed)) for seed in seeds]
    ours = [measure_retrieval(data, Hyperparameters(seed=seed)) for seed in seeds]
    found["ids only (SASRec-like)"] = [timed for timed, _ in rival]
    found["homefeed"], found["homefeed, time of the request unknown"] = (
        list(runs) for runs in zip(*ours, strict=True)
    )
    return found


def report(
    found: Mapping[str, Sequence[Result]], masks: Mapping[str, npt.NDArray[np.bool_]]
) -> tuple[str, dict[str, float]]:
    """A Markdown table, and the figures to keep."""
    lines = [f"| method | {' | '.join(COLUMNS)} | CPU s |", f"|---|{'---:|' * (len(COLUMNS) + 1)}"]
    figures: dict[str, float] = {}
    for method, runs in found.items():
        row = []
        for column in COLUMNS:
            values = [metrics.summarize(run.ranks)[column] for run in runs]
            middle = statistics.median(values)
            figures[f"{method}.{column}"] = round(middle, 4)
            spread = f" ({min(values):.4f} to {max(values):.4f})" if len(values) > 1 else ""
            row.append(f"{middle:.4f}{spread}")
        seconds = statistics.median(run.cpu_seconds for run in runs)
        figures[f"{method}.cpu_seconds"] = round(seconds, 1)
        lines.append(f"| {method} | {' | '.join(row)} | {seconds:.0f} |")
    best = max((m for m in found if not m.startswith("homefeed")), key=lambda m: figures[f"{m}.ndcg@10"])
    ours, theirs = (np.mean([metrics.ndcg(run.ranks, 10) for run in found[m]], axis=0) for m in ("homefeed", best))
    difference, low, high = metrics.paired_bootstrap(ours, theirs)
    figures |= {"gain.ndcg@10": round(difference, 4), "gain.low": round(low, 4), "gain.high": round(high, 4)}
    lines += [
        "",
        f"NDCG@10 against {best}, mean over the seeds: {difference:+.4f}, 95% interval [{low:+.4f}, {high:+.4f}]",
        "",
    ]
    names = list(found["homefeed"][0].character)
    lines += [f"| lists of 10 | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for method, runs in found.items():
        middles = {name: statistics.median(run.character[name] for run in runs) for name in names}
        figures |= {f"{method}.{name}": round(value, 4) for name, value in middles.items()}
        lines.append(f"| {method} | {' | '.join(f'{middles[name]:.3g}' for name in names)} |")
    lines += ["", "| slice | queries | ndcg@10 | recall@100 |", "|---|---:|---:|---:|"]
    for name, mask in masks.items():
        if mask.any():
            parts = [metrics.summarize(run.ranks[mask]) for run in found["homefeed"]]
            ndcg, recall = (statistics.median(p[c] for p in parts) for c in ("ndcg@10", "recall@100"))
            figures |= {f"homefeed.{name}.ndcg@10": round(ndcg, 4), f"homefeed.{name}.recall@100": round(recall, 4)}
            lines.append(f"| {name} | {mask.sum()} | {ndcg:.4f} | {recall:.4f} |")
    return "\n".join(lines) + "\n", figures


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", default=str(MOVIELENS) if MOVIELENS.is_dir() else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=list(PROTOCOLS))
    arguments, _ = parser.parse_known_args()
    for protocol in arguments.protocols:
        with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as folder:
            data = prepare(arguments.source, PROTOCOLS[protocol], pathlib.Path(folder))
        table, figures = report(measure(data, arguments.seeds), slices(data))
        results.merge(f"retrieval.{protocol}", figures)
        text = f"# {protocol.upper()}, MovieLens-100K, seeds {arguments.seeds}\n\n{table}"
        print(text, flush=True)
        pathlib.Path(__file__).with_name(f"retrieval_{protocol}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
