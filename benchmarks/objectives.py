"""Objectives: what sorting for likes, purchases and revenue changes in lists, on MovieLens-100K and the store.

    python -m benchmarks.objectives [--data movielens store] [--protocols p1 p2] [--seeds 0 1 2] [--keep FOLDER]

The store is that of `benchmarks.text`: a small one has too few purchases to tell anything by. Text model and
retrieval are trained once a seed, and the ranker once an objective; `interactions` is the order without any. How far
who knows every taste of the simulation gets says what can be had at all. Everything is chosen on eval, and the
figures are of the test split. With `--keep` the folder holds what was trained for another time. Writes `results.json`
and `objectives_<data>_<protocol>.md`.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import results
from benchmarks._truth import Truth, best_for_purchases, is_purchase
from benchmarks.ranking import HERE, Bench, gain, percent, prepare, pretrain, train_retrieval
from benchmarks.retrieval import MOVIELENS, PROTOCOLS
from benchmarks.text import STORE
from homefeed.components import evaluator, fuser, ranking_trainer
from homefeed.components.artifacts.transformed import TrainingData
from homefeed.components.artifacts.types import Model, PretrainedBert
from homefeed.components.evaluator import shown
from homefeed.components.evaluator.measured import RANKING_ROW, Measured, measure
from homefeed.components.evaluator.queries import make_queries
from homefeed.models.evaluation import metrics
from homefeed.schemas.objectives import INTERACTIONS, OBJECTIVES, Values

ASKED: dict[str, dict[str, Values]] = {
    "movielens": {"likes": OBJECTIVES["likes"]},
    "store": {"likes": OBJECTIVES["likes"], "purchases": OBJECTIVES["purchases"], "revenue": {"purchase": "price"}},
}
OF_SHOWN = ("predicted", "happened", "ece", "ece_by_chance")
KINDS = ("all", "liked", "purchased")  # Of targets.

Floats = npt.NDArray[np.float64]


def train(bench: Bench, seed: int, retrieval: Model, bert: PretrainedBert, name: str, values: Values) -> Measured:
    """Trains a ranker for an objective and measures it on the test split."""
    from homefeed.components.ranking_trainer.train import fit
    from homefeed.models.ranking.export import RankingModule
    from homefeed.serving.predictors import LocalPredictor
    from homefeed.serving.recommender import RANKING, RETRIEVAL, Recommender

    objectives = {name: values, INTERACTIONS: {}}
    train, evaluation, test = (
        dataclasses.replace(split, objectives=objectives) for split in (bench.train, bench.evaluation, bench.test)
    )
    data = TrainingData(bench.catalogue, train, evaluation, bench.vocabulary)
    trained = fit(data, bert, retrieval, ranking_trainer.Config(**bench.ranking, seed=seed))
    with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as folder:
        model = Model(pathlib.Path(folder))
        RankingModule(trained, bench.catalogue, train).save(model.serving_dir)
        folders = {RETRIEVAL: retrieval.serving_dir, RANKING: model.serving_dir}
        recommender = Recommender(LocalPredictor(folders), fuser.Config().num_candidates)
        return measure(recommender, None, {}, test, bench.catalogue, evaluator.Config().limits)


def targets_of(bench: Bench, found: Measured) -> dict[str, npt.NDArray[np.bool_]]:
    """Kind of target → [num_queries] which are of it."""
    ends = found.queries.ends
    kinds = {"all": np.ones(len(ends), bool), "liked": bench.test.positive[ends]}
    if "purchase" in bench.test.event_vocabularies.get("event_type", ()):
        kinds["purchased"] = is_purchase(bench.test)[ends]
    return kinds


def bound(bench: Bench) -> dict[str, float]:
    """`interactions` and `purchases` → purchases within the first ten of who knows every taste."""
    truth = Truth.read(bench.folder / "data", bench.catalogue.item_ids)
    queries = make_queries(bench.test, evaluator.Config().max_queries)
    bought = is_purchase(bench.test)[queries.ends]
    found = best_for_purchases(truth, bench.test, queries)
    return {name: float((ndcg[bought] > 0).mean()) for name, ndcg in found.items()}


def figures(bench: Bench, plain: Sequence[Measured], ours: Sequence[Measured]) -> dict[str, float]:
    """Means over the seeds, with gains over `plain` (the order of `interactions`) and their intervals."""
    kept: dict[str, float] = {}
    for kind, mask in targets_of(bench, ours[0]).items():
        for name, metric in (("ndcg@10", metrics.ndcg), ("hits@10", metrics.hit_rate)):
            theirs, own = (
                np.mean([metric(one.ranks[RANKING_ROW], 10)[mask] for one in runs], axis=0) for runs in (plain, ours)
            )
            kept[f"{name}.{kind}"] = float(own.mean())
            kept |= {f"{name}.{kind}.{key}": value for key, value in gain(own, theirs).items()}
    kept["liked_on_page"] = float(np.mean([shown.mean_of_known(one.shown.probabilities) for one in ours]))
    of_shown = [shown.calibration(one, bench.test, bench.catalogue)["all"] for one in ours]
    kept |= {f"shown.{key}": float(np.mean([one[key] for one in of_shown])) for key in OF_SHOWN}
    tenths = [shown.value_by_part(one) for one in ours]
    for at in range(min(map(len, tenths))):
        for key in ("predicted", "happened"):
            kept[f"value.{at + 1}.{key}"] = float(np.mean([one[at][key] for one in tenths]))
    return kept


def report(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Markdown lines."""
    kinds = [kind for kind in KINDS if f"ndcg@10.{kind}" in found[INTERACTIONS]]
    head = " | ".join(f"NDCG@10, {kind} | gain (95%)" for kind in kinds)
    lines = [
        f"| sorted for | {head} | P(liked) on the page | predicted / liked of what was shown | mean gap, by chance |",
        f"|---|{'---:|---|' * len(kinds)}---:|---:|---:|",
    ]
    for name, one in found.items():
        cells = [f"{one[f'ndcg@10.{kind}']:.4f} | {percent(_under(one, f'ndcg@10.{kind}.'))}" for kind in kinds]
        predicted, happened, gap, by_chance = (one[f"shown.{key}"] for key in OF_SHOWN)
        gaps = f"{predicted:.3f} / {happened:.3f} | {gap:.3f}, {by_chance:.3f}"
        lines.append(f"| {name} | {' | '.join(cells)} | {one['liked_on_page']:.3f} | {gaps} |")
    if "purchased" in kinds:
        lines += ["", "| sorted for | purchases within the first ten | gain (95%) |", "|---|---:|---|"]
        lines += [
            f"| {name} | {one['hits@10.purchased']:.4f} | {percent(_under(one, 'hits@10.purchased.'))} |"
            for name, one in found.items()
        ]
    for name, one in found.items():
        if "value.1.predicted" in one:
            pairs = [
                f"{one[f'value.{at}.predicted']:.3f} / {one[f'value.{at}.happened']:.3f}"
                for at in range(1, shown.NUM_PARTS + 1)
            ]
            lines += ["", f"Expected value of {name}, and what came, by tenths: {', '.join(pairs)}."]
    return lines


def told(known: Mapping[str, float]) -> list[str]:
    """What `bound` found, as a line."""
    if not known:
        return []
    plain, best = known["interactions"], known["purchases"]
    return [
        f"Who knows every taste has {plain:.4f} of the purchases within the first ten by what comes next, and "
        f"{best:.4f} ({best / plain - 1:+.1%}) by purchases.",
        "",
    ]


def _under(one: Mapping[str, float], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): value for name, value in one.items() if name.startswith(prefix)}


def measure_objectives(bench: Bench, data: str, seeds: Sequence[int]) -> dict[str, dict[str, float]]:
    """Objective → figures."""
    asked: dict[str, Values] = {INTERACTIONS: {}, **ASKED[data]}
    runs: dict[str, list[Measured]] = {name: [] for name in asked}
    for seed in seeds:
        retrieval, bert = _trained_once(bench, seed)
        for name, values in asked.items():
            runs[name].append(train(bench, seed, retrieval, bert, name, values))
            liked = shown.mean_of_known(runs[name][-1].shown.probabilities)
            ndcg = metrics.ndcg(runs[name][-1].ranks[RANKING_ROW], 10).mean()
            print(f"seed {seed}, {name}: NDCG@10 {ndcg:.4f}, P(liked) {liked:.3f}", flush=True)
    return {name: figures(bench, runs[INTERACTIONS], found) for name, found in runs.items()}


def _trained_once(bench: Bench, seed: int) -> tuple[Model, PretrainedBert]:
    retrieval, bert = Model(bench.folder / f"retrieval{seed}"), PretrainedBert(bench.folder / f"bert{seed}True")
    if not retrieval.serving_dir.is_dir():
        bert, _ = pretrain(bench, seed)
        retrieval = train_retrieval(bench, seed, bert)
    return retrieval, bert


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", default=str(MOVIELENS) if MOVIELENS.is_dir() else None)
    parser.add_argument("--data", choices=list(ASKED), nargs="+", default=list(ASKED))
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--keep", type=pathlib.Path)
    arguments, _ = parser.parse_known_args()
    for data, protocol in [(data, protocol) for data in arguments.data for protocol in arguments.protocols]:
        with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as name:
            folder = (arguments.keep or pathlib.Path(name)) / f"{data}_{protocol}"
            bench = prepare(data, arguments.source, PROTOCOLS[protocol], folder, quick=False, store=STORE)
            found = measure_objectives(bench, data, arguments.seeds)
            known = bound(bench) if data == "store" else {}
        title = f"{data}.{protocol}"
        head = f"Means of the seeds {arguments.seeds}, test split; gains over sorting for interactions."
        lines = [f"# Objectives: {title.replace('.', ', ')}", "", head, "", *report(found), "", *told(known)]
        text = "\n".join(lines)
        print(text, flush=True)
        kept: dict[str, Any] = {f"{name}.{key}": round(x, 4) for name, one in found.items() for key, x in one.items()}
        kept |= {f"bound.{name}": round(x, 4) for name, x in known.items()}
        results.merge(f"objectives.{title}", kept)
        (HERE / f"objectives_{title.replace('.', '_')}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
