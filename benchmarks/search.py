"""Search in the simulated store: whether a query finds what it means, in words that items have and in others.

    python -m benchmarks.search [--seeds 0 1 2] [--quick]

A query names a style and a category, in English or Chinese, or is an item's title; what matches is known. Synonyms
are words that no item's text holds; a share of the shoppers' searches use them (`homefeed data sample`), and what
they picked then is all that there is to learn from. Every query is asked by somebody of whom nothing is known, and by
a shopper of the test split with all their history, whose earlier items cannot be found again. "By words alone" is the
same retrieval model without the text model. Writes `results.json` and `search.md`; `--quick` shows that everything
runs, and writes nothing.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import ranking, results
from homefeed.components import ranking_trainer
from homefeed.components.artifacts.types import Model, ModelRun
from homefeed.models.requests import Request, requests_from_sequences
from homefeed.serving.queries import Tokenize, query_tokenizer
from homefeed.serving.recommender import RANKING, RETRIEVAL, Recommender

NUM_QUERIES, LENGTH, WARMUP = 200, 10, 20
BY_WORDS, RETRIEVED, RANKED = "retrieve, by words alone", "retrieve", "retrieve → rank"
NOBODY, SHOPPER = "nothing known", "a shopper's history"


@dataclasses.dataclass(frozen=True)
class Query:
    """What is typed, and which items it means: [num_items] bool, in the order of the store's tables."""

    text: str
    matching: npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Run:
    """One seed.

    Attributes:
        found: kind of query, who asks, method → [num_queries, 2], what `found_of` says of each.
        milliseconds: what is asked → method → median time of a call.
    """

    found: dict[tuple[str, str, str], npt.NDArray[np.float64]]
    milliseconds: dict[str, dict[str, float]]


def queries(data: pathlib.Path, seed: int) -> dict[str, list[Query]]:
    """NUM_QUERIES of each kind; the truth of the store tells what matches."""
    from homefeed.pipeline.datasets.sample.rows import joined, synonym
    from homefeed.pipeline.datasets.sample.words import CATEGORIES, LANGUAGES, STYLES

    items = _items_of(data)
    style, category = np.array(items["style"]), np.array(items["category"])
    rng = np.random.default_rng(seed)
    found: dict[str, list[Query]] = {"words of items": [], "synonyms": []}
    pairs = np.unique(np.stack([style, category]), axis=1).T
    for drawn in rng.integers(len(pairs), size=NUM_QUERIES):
        asked, language = pairs[drawn].tolist(), int(rng.integers(len(LANGUAGES)))
        matching = (style == asked[0]) & (category == asked[1])
        written = joined(STYLES[asked[0]][language][0], CATEGORIES[asked[1]].names[language].lower(), language)
        found["words of items"].append(Query(written, matching))
        found["synonyms"].append(Query(synonym(*asked, language), matching))
    with (data / "items.csv").open(encoding="utf-8", newline="") as file:
        titles = np.array([item["title"] for item in csv.DictReader(file)])
    drawn = titles[rng.integers(len(titles), size=NUM_QUERIES)]
    found["titles"] = [Query(title, titles == title) for title in drawn.tolist()]
    return found


def _items_of(data: pathlib.Path) -> dict[str, Any]:
    items: dict[str, Any] = json.loads((data / "truth.json").read_text(encoding="utf-8"))["items"]
    return items


def found_of(page: Sequence[str], matching: set[str]) -> tuple[float, float]:
    """Whether a page has a matching item, and its share of those that it could have.

    Example:
        >>> found_of(["a", "b", "c"], {"b", "c", "x"})
        (1.0, 0.6666666666666666)
    """
    hits = len(set(page) & matching)
    return float(hits > 0), hits / min(LENGTH, len(matching))


def train(bench: ranking.Bench, seed: int) -> tuple[Recommender, Recommender, Tokenize]:
    """Retrieval and ranking as they are served, retrieval without its text model, and what queries are read by."""
    from homefeed.serving.predictors import LocalPredictor

    bert, _ = ranking.pretrain(bench, seed)
    retrieval = ranking.train_retrieval(bench, seed, bert)
    ranked = Model(bench.folder / f"ranking{seed}")
    ranking_trainer.run(
        ranking_trainer.Inputs(bench.graph, bench.examples, bert, retrieval),
        ranking_trainer.Outputs(ranked, ModelRun(bench.folder / f"ranking_run{seed}")),
        ranking_trainer.Config(**bench.ranking, seed=seed),
    )
    whole = LocalPredictor({RETRIEVAL: retrieval.serving_dir, RANKING: ranked.serving_dir})
    alone = LocalPredictor({RETRIEVAL: by_words_alone(bench, retrieval)})
    return Recommender(whole, 100), Recommender(alone), query_tokenizer(retrieval.serving_dir)


def measure(bench: ranking.Bench, seed: int) -> Run:
    """Trains the models, searches with every query for both askers, and times `retrieve`."""
    whole, alone, tokenize = train(bench, seed)
    data = bench.folder / "data"
    item_ids = np.array(_items_of(data)["item_id"])
    rows = np.random.default_rng(seed).integers(bench.test.num_users, size=NUM_QUERIES).astype(np.int64)
    shoppers = list(requests_from_sequences(bench.test, bench.catalogue, rows, bench.test.row_splits[1:][rows]))
    found: dict[tuple[str, str, str], npt.NDArray[np.float64]] = {}
    for kind, asked in queries(data, seed).items():
        for name, who in ((NOBODY, [Request("")] * NUM_QUERIES), (SHOPPER, shoppers)):
            pairs = list(zip(who, asked, strict=True))
            searches = [dataclasses.replace(one, query_token_ids=tokenize(query.text)) for one, query in pairs]
            new = [set(item_ids[query.matching]) - {event.item_id for event in one.history} for one, query in pairs]
            pages = {
                BY_WORDS: _decoded(alone.retrieve(searches, LENGTH)["item_ids"]),
                RETRIEVED: _decoded(whole.retrieve(searches, LENGTH)["item_ids"]),
                RANKED: [[place.item_id for place in page] for page in whole.recommend(searches, LENGTH)],
            }
            for method, lists in pages.items():
                hits = [found_of(page, some) for page, some in zip(lists, new, strict=True) if some]
                found[kind, name, method] = np.array(hits)
    models = {BY_WORDS: alone, RETRIEVED: whole}
    times = {name: milliseconds(models, some) for name, some in (("no query", shoppers), ("a query", searches))}
    return Run(found, times)


def milliseconds(models: dict[str, Recommender], requests: Sequence[Request]) -> dict[str, float]:
    """Model → median time of `retrieve` in this process, one request a call; the models take turns."""
    taken: dict[str, list[float]] = {name: [] for name in models}
    for request in [*requests[:WARMUP], *requests]:
        for name, model in models.items():
            start = time.perf_counter()
            model.retrieve([request], 100)
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: float(np.median(times[WARMUP:])) for name, times in taken.items()}


def by_words_alone(bench: ranking.Bench, model: Model) -> pathlib.Path:
    """The same model, to which queries are their words alone."""
    from homefeed.models.retrieval.retriever import Retriever
    from homefeed.models.retrieval.snapshot import Snapshot
    from homefeed.models.text.text_model import TextModel

    folder = model.path / "ByWordsAlone"
    catalogue = TextModel.load(model.text_dir).describe(bench.catalogue)
    Retriever(Snapshot.load(model.snapshot_dir), catalogue).save(folder)
    return folder


def _decoded(item_ids: npt.NDArray[Any]) -> list[list[str]]:
    return [[item_id.decode() for item_id in page] for page in item_ids]


def report(runs: Sequence[Run]) -> tuple[str, dict[str, float]]:
    """A Markdown table of means over seeds and queries, and the figures to keep."""
    lines = [
        f"| query | asked by | method | a match in the first {LENGTH} | each seed | recall@{LENGTH} |",
        "|---|---|---|---:|---:|---:|",
    ]
    figures: dict[str, float] = {}
    for key in runs[0].found:
        each = [run.found[key].mean(axis=0) for run in runs]
        hit, recall = np.mean(each, axis=0).tolist()
        name = ", ".join(key)
        figures |= {f"{name}: hit@{LENGTH}": round(hit, 4), f"{name}: recall@{LENGTH}": round(recall, 4)}
        seeds = " ".join(f"{one[0]:.0%}" for one in each)
        lines.append(f"| {' | '.join(key)} | {hit:.1%} | {seeds} | {recall:.3f} |")
    lines += ["", f"| `retrieve`, one request, p50 ms | {BY_WORDS} | {RETRIEVED} |", "|---|---:|---:|"]
    for asked in runs[0].milliseconds:
        times = {
            name: statistics.median(run.milliseconds[asked][name] for run in runs) for name in (BY_WORDS, RETRIEVED)
        }
        figures |= {f"{asked}: {name}, ms": round(value, 3) for name, value in times.items()}
        lines.append(f"| {asked} | {times[BY_WORDS]:.2f} | {times[RETRIEVED]:.2f} |")
    return "\n".join(lines) + "\n", figures


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as name:
        bench = ranking.prepare("store", None, "temporal", pathlib.Path(name), arguments.quick)
        for seed in arguments.seeds:
            runs.append(measure(bench, seed))
    table, figures = report(runs)
    text = f"# search, store\n\n{NUM_QUERIES} queries of each kind, seeds {arguments.seeds}.\n\n{table}"
    print(text, flush=True)
    if not arguments.quick:
        results.merge("search.store", figures)
        pathlib.Path(__file__).with_name("search.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
