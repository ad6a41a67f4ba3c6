"""A news site, whose items live for a day (P6): what models of yesterday find, and what is hot now.

    python -m benchmarks.news [--seeds 0 1 2] [--product-seeds 0] [--quick] [--dry-run]
    python -m benchmarks.news --data movielens store --seeds 0 --product-seeds [--from PATH_OR_URL]

Each seed simulates another site. Every click of the last tenth of the time is ranked among all items that its reader
has not had. A window is the number of clicks in the last so many seconds: the best one on eval stands for all.
What is hot is the board as the gateway keeps it, by the counts of each half-life alone and by the blend that
RetrievalTrainer fits on eval; each query knows what happened before its second. Models are trained with the seeds
`--product-seeds`: what they make of items on the board is joined to the blend's scores, by weights fitted on eval.
With the other seeds the blend knows no likeness. `--quick` makes as little as can be, whose figures mean nothing.
Writes `results.json` and `news.md`. `--data` asks the same of films and of the store, which live for long.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import pathlib
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks import ranking, results
from benchmarks.retrieval import MOVIELENS, Data, split_dataset
from homefeed.components import evaluator, fuser, ranking_trainer
from homefeed.components.artifacts.types import DatasetDir, Model, ModelRun
from homefeed.components.evaluator import measured
from homefeed.components.evaluator.queries import Queries, make_queries
from homefeed.models.catalogue import Catalogue
from homefeed.models.evaluation import baselines, metrics
from homefeed.models.fused import Fused
from homefeed.models.hot import blend as blends
from homefeed.models.hot.blend import Blend, log_of
from homefeed.models.hot.board import HALF_LIVES, Board, ItemFacts, replay
from homefeed.models.hot.counts import Rows
from homefeed.models.requests import requests_from_sequences
from homefeed.models.sequences import Sequences
from homefeed.models.shared.item_vectors import ItemVectors
from homefeed.pipeline.datasets.movielens import write_movielens_100k
from homefeed.pipeline.datasets.sample import write_news, write_sample
from homefeed.serving.recommender import Recommender

HERE = pathlib.Path(__file__).parent
BATCH = 32  # Queries of which models are asked at once, with some hundred items each.
WINDOWS = tuple(hours * 3_600 for hours in (0.5, 1, 2, 3, 6, 12, 24, 48))
QUICK_SITE = {"num_users": 60, "num_items": 400, "num_events": 600}
POPULARITY, EASE, WINDOW = "popularity in training", "EASE", "best window"
TODAY, RETRIEVAL = "homefeed: retrieval and ranking", "homefeed: retrieval alone"
COUNTS, HOT = "hot, counts alone", "hot, as the gateway sorts it"
JOINED = "hot, joined with the models' scores of its items"
Found = dict[str, metrics.Ranks]
Choices = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Asked:
    """Queries of a split, in the order of time, and all clicks up to its end."""

    queries: Queries
    now: npt.NDArray[np.int64]
    rows: Rows
    at: npt.NDArray[np.int64]

    @classmethod
    def of(cls, split: Sequences, *earlier: Sequences) -> Asked:
        """Those of a split."""
        queries = make_queries(split, evaluator.Config().max_queries)
        order = np.argsort(split.timestamp[queries.ends], kind="stable")
        columns = (column[order] for column in (queries.rows, queries.ends, queries.targets))
        histories = [queries.histories[place] for place in order]
        queries = Queries(*columns, histories, queries.num_possible)
        return cls(queries, split.timestamp[queries.ends], *log_of(*earlier, split))


def by_window(asked: Asked, seconds: float, num_rows: int) -> metrics.Ranks:
    """Ranks by the number of clicks in the last so many seconds."""
    order = np.argsort(asked.at, kind="stable")
    rows, at = asked.rows[order], asked.at[order]
    begins, ends = np.searchsorted(at, asked.now - seconds), np.searchsorted(at, asked.now)
    found = []
    for begin, end, target, history in zip(begins, ends, asked.queries.targets, asked.queries.histories, strict=True):
        counts = np.bincount(rows[begin:end], minlength=num_rows)[None].astype(np.float64)
        found.append(metrics.rank_targets(counts, np.array([target]), [history]))
    return metrics.joined(found)


def by_board(asked: Asked, facts: ItemFacts, blend: Blend) -> metrics.Ranks:
    """Ranks on the board; what it does not hold is a miss at every cut-off."""
    board = Board(facts, blend.half_lives)
    above, tied = np.full(len(asked.queries), np.iinfo(np.int32).max), np.zeros(len(asked.queries), np.int64)
    looks = replay(board, asked.rows, asked.at, asked.now)
    for place, (look, target, history) in enumerate(
        zip(looks, asked.queries.targets, asked.queries.histories, strict=True)
    ):
        scores = blend.scores(board, look, history)
        scores[np.isin(look.rows, history)] = -np.inf
        own = scores[look.rows == target]
        if len(own):
            above[place], tied[place] = (scores > own[0]).sum(), (scores == own[0]).sum() - 1
    return metrics.Ranks(above.astype(np.int64), tied)


class Choice(NamedTuple):
    """What a reader could choose from a board."""

    features: npt.NDArray[np.float32]  # [num_items, 3] the blend's score, retrieval's and ranking's.
    place: int  # Of what was chosen; -1: it was not there.


def choices_with_models(
    asked: Asked, split: Sequences, catalogue: Catalogue, facts: ItemFacts, blend: Blend, fused: Recommender
) -> Iterator[Choice]:
    """Each query with what the models make of the items on the board; their scores are standardised."""
    board = Board(facts, blend.half_lives)
    queries = asked.queries
    requests = requests_from_sequences(split, catalogue, queries.rows, queries.ends)
    looks = replay(board, asked.rows, asked.at, asked.now)
    found = zip(requests, looks, queries.targets, queries.histories, strict=True)
    while batch := list(itertools.islice(found, BATCH)):
        items = [look.rows[~np.isin(look.rows, history)] for _, look, _, history in batch]
        candidates = np.full((len(batch), max([1, *map(len, items)])), b"", object)
        for place, rows in enumerate(items):
            candidates[place, : len(rows)] = catalogue.item_ids[rows]
        ranked = fused.rank([request for request, *_ in batch], candidates)
        for place, (rows, (_, look, target, history)) in enumerate(zip(items, batch, strict=True)):
            own = blend.scores(board, look, history)[np.isin(look.rows, rows)]
            others = [ranked[name][place, : len(rows)] for name in ("retrieval_scores", "interests")]
            deviations = [(score - score.mean()) / (score.std() + 1e-6) if len(rows) else score for score in others]
            where = np.flatnonzero(rows == target)
            yield Choice(np.column_stack([own, *deviations]).astype(np.float32), int(where[0]) if len(where) else -1)


def joined(fitted_on: Sequence[Choice], asked: Sequence[Choice]) -> metrics.Ranks:
    """Ranks by the three scores together, with weights that are fitted to other choices."""
    made = [choice for choice in fitted_on if choice.place >= 0 and len(choice.features) > 1]
    weights = blends.most_likely([choice.features for choice in made], [choice.place for choice in made])
    above, tied = np.full(len(asked), np.iinfo(np.int32).max, np.int64), np.zeros(len(asked), np.int64)
    for place, choice in enumerate(asked):
        if choice.place >= 0:
            scores = choice.features @ weights
            own = scores[choice.place]
            above[place], tied[place] = (scores > own).sum(), (scores == own).sum() - 1
    return metrics.Ranks(above, tied)


def measure(data: Data, folder: pathlib.Path, seed: int, product: bool, quick: bool) -> tuple[Found, Choices]:
    """Method → ranks of the test split's clicks; and what was chosen on eval."""
    asked = Asked.of(data.test, data.train, data.evaluation)
    on_eval = Asked.of(data.evaluation, data.train)
    num_rows = data.catalogue.num_rows
    rivals = measured.fit_baselines(data.train, data.evaluation, data.catalogue, evaluator.Config().limits)
    rivals = {POPULARITY: baselines.Popularity().fit(data.train, num_rows), EASE: rivals[measured.EASE]}
    histories = asked.queries.histories
    found = {
        name: metrics.rank_targets(rival.scores(histories), asked.queries.targets, histories)
        for name, rival in rivals.items()
    }
    window = max(WINDOWS, key=lambda seconds: _ndcg(by_window(on_eval, seconds, num_rows)))
    found[WINDOW] = by_window(asked, window, num_rows)
    facts = ItemFacts.of(data.catalogue)
    alone = [Blend(HALF_LIVES, {f"hot_{half_life:g}": 1.0}) for half_life in HALF_LIVES]
    found[COUNTS] = by_board(asked, facts, max(alone, key=lambda one: _ndcg(by_board(on_eval, facts, one))))
    if product:
        retrieval, ranker = train(data, folder, seed, quick)
        today = ranking.ask(data.test, data.catalogue, retrieval, ranker)
        found |= {RETRIEVAL: today[measured.RETRIEVAL_ROW], TODAY: today[measured.RANKING_ROW]}
        blend = Blend.read(retrieval.serving_dir)
        vectors = ItemVectors(retrieval.serving_dir).of([item_id.decode() for item_id in data.catalogue.item_ids])
        facts = ItemFacts.of(data.catalogue, vectors)
        Fused(retrieval.serving_dir, ranker.serving_dir, fuser.Config().num_candidates).save(folder / "fused")
        models = data.catalogue, facts, blend, Recommender.of_saved_model(folder / "fused")
        on_both = (
            list(choices_with_models(of_split, split, *models))
            for of_split, split in ((on_eval, data.evaluation), (asked, data.test))
        )
        found[JOINED] = joined(*on_both)
    else:
        blend = blends.fit(data.train, data.evaluation, facts)
    found[HOT] = by_board(asked, facts, blend)
    unseen = float((data.catalogue.train_counts[asked.queries.targets] == 0).mean())
    return found, {"window_seconds": window, "unseen": unseen, **blend.weights}


def train(data: Data, folder: pathlib.Path, seed: int, quick: bool) -> tuple[Model, Model]:
    """Retrieval and ranking as the pipeline trains them."""
    bench = ranking.bench_of(data, folder, quick)
    bert, _ = ranking.pretrain(bench, seed)
    retrieval, ranker = ranking.train_retrieval(bench, seed, bert), Model(folder / f"ranker{seed}")
    ranking_trainer.run(
        ranking_trainer.Inputs(bench.graph, bench.examples, bert, retrieval),
        ranking_trainer.Outputs(ranker, ModelRun(folder / f"ranker_run{seed}")),
        ranking_trainer.Config(**bench.ranking, seed=seed),
    )
    return retrieval, ranker


def report(runs: Sequence[Found], chosen: Sequence[dict[str, float]]) -> tuple[str, dict[str, float]]:
    """A Markdown table, and the figures to keep: medians of the seeds."""
    middle = {
        method: {
            name: statistics.median(metrics.summarize(run[method])[name] for run in runs if method in run)
            for name in ("ndcg@10", "hr@10", "recall@100")
        }
        for method in (POPULARITY, EASE, WINDOW, RETRIEVAL, TODAY, COUNTS, HOT)
        if any(method in run for run in runs)
    }
    best, lines = middle[WINDOW]["ndcg@10"], ["| method | NDCG@10 | HR@10 | Recall@100 | × best window |"]
    lines.append("|---|---:|---:|---:|---:|")
    for method, row in middle.items():
        times = row["ndcg@10"] / best
        lines.append(
            f"| {method} | {row['ndcg@10']:.4f} | {row['hr@10']:.3f} | {row['recall@100']:.3f} | {times:.2f} |"
        )
    figures = {f"{method}.{name}": value for method, row in middle.items() for name, value in row.items()}
    ratios = [_ndcg(run[HOT]) / _ndcg(run[WINDOW]) for run in runs]
    figures |= {"times_window": statistics.median(ratios), "times_window.low": min(ratios)}
    unseen = statistics.median(each["unseen"] for each in chosen)
    windows = ", ".join(f"{each['window_seconds'] / 3_600:g}" for each in chosen)
    lines += [
        "",
        f"{unseen:.0%} of the test clicks are on items that training never saw. Best window of each seed, hours: "
        f"{windows}.",
        "",
        *_gain_of_models(runs, figures),
        "| weight of | " + " | ".join(f"seed {n}" for n in range(len(chosen))) + " |",
        "|---|" + "---:|" * len(chosen),
    ]
    names = [name for name in chosen[0] if name not in ("unseen", "window_seconds")]
    lines += [f"| `{name}` | " + " | ".join(f"{each[name]:+.2f}" for each in chosen) + " |" for name in names]
    return "\n".join(lines) + "\n", figures | {"unseen": unseen}


def _gain_of_models(runs: Sequence[Found], figures: dict[str, float]) -> list[str]:
    """What the models' scores of the items on the board add to the blend, on the same sites; and its figures."""
    pairs = [(run[JOINED], run[HOT]) for run in runs if JOINED in run]
    if not pairs:
        return []
    ours, theirs = (np.concatenate([metrics.ndcg(ranks, 10) for ranks in one]) for one in zip(*pairs, strict=True))
    gain, low, high = metrics.paired_bootstrap(ours, theirs)
    figures |= {"joined.gain": gain, "joined.gain.low": low, "joined.gain.high": high}
    return [
        "Joined with what retrieval and ranking make of the same items, by weights fitted on eval: NDCG@10 "
        f"{gain:+.4f} ({low:+.4f} to {high:+.4f}).",
        "",
    ]


def _ndcg(ranks: metrics.Ranks) -> float:
    return float(metrics.ndcg(ranks, 10).mean())


def write_data(kind: str, folder: pathlib.Path, source: str | None, seed: int, quick: bool) -> None:
    """The tables of a kind of data."""
    if kind == "news":
        write_news(folder, **(QUICK_SITE if quick else {}), seed=seed)
    elif kind == "store":
        write_sample(folder, seed=seed)
    else:
        write_movielens_100k(folder, source)


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=["news", "movielens", "store"], default=["news"])
    parser.add_argument("--from", dest="source", default=str(MOVIELENS) if MOVIELENS.is_dir() else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--product-seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--dry-run", action="store_true", help="print only")
    options, _ = parser.parse_known_args()
    for kind in options.data:
        runs, chosen = [], []
        for seed in options.seeds:
            with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as name:
                folder = pathlib.Path(name)
                write_data(kind, folder / "data", options.source, seed, options.quick)
                data = split_dataset(DatasetDir(folder / "data"), "temporal", folder)
                found, choices = measure(data, folder, seed, seed in options.product_seeds, options.quick)
            runs.append(found)
            chosen.append(choices)
            print(seed, {method: round(_ndcg(ranks), 4) for method, ranks in found.items()}, flush=True)
        table, figures = report(runs, chosen)
        print(table, flush=True)
        if not (options.quick or options.dry_run):
            part = "news" if kind == "news" else f"news_{kind}"
            results.merge(part, {name: round(value, 4) for name, value in figures.items()})
            title = f"# What is hot, {kind}, seeds {options.seeds}, models of the seeds {options.product_seeds}"
            (HERE / f"{part}.md").write_text(f"{title}\n\n{table}", encoding="utf-8")


if __name__ == "__main__":
    main()
