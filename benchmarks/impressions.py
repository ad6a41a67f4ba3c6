"""Learning from what was shown: a store with position bias, whose true tastes are known.

    python -m benchmarks.impressions [--seeds 0 1 2] [--arms "sampled negatives" exposures …] [--quick]

Each seed is a store of its own (`homefeed data sample --impressions`), split by time, whose pages are drawn by
popularity, with known propensities. On one retrieval model the ranker is trained several times: with sampled
negatives alone, with exposures, without their places, and with what was left weighted by inverse propensity.
On the test split: AUC and nDCG over what was shown (P5), NDCG@10 of the next event in the whole catalogue, and
NDCG@10 against true tastes, of the page that is recommended and of the shown items put in order; a gain is how
probable the item is to be picked if everything is looked at. Writes `results.json` and `impressions.md`; `--quick`
trains as little as can be, shows that everything runs, and writes nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import results
from benchmarks._truth import Truth, rows_of_users
from benchmarks.ranking import Bench, bench_of, pretrain, train_retrieval
from benchmarks.retrieval import split_dataset
from homefeed.components import evaluator, fuser, ranking_trainer
from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.transformed import TrainingData
from homefeed.components.artifacts.types import DatasetDir, Model, PretrainedBert
from homefeed.components.evaluator.impressions import AS_SHOWN, measure_shown
from homefeed.components.evaluator.measured import RANKING_ROW, measure
from homefeed.models.evaluation import metrics
from homefeed.models.exposures import Exposures
from homefeed.models.shared.prediction_points import locate
from homefeed.pipeline.datasets.sample.simulation import TASTE
from homefeed.serving.recommender import Recommender

Floats = npt.NDArray[np.float64]
SAMPLED, WITHOUT_PLACES, DEFAULT = "sampled negatives", "exposures without places", "exposures"
WEIGHTED = "exposures by inverse propensity"
SETTINGS = {SAMPLED: {"exposure_weight": 0.0}, WEIGHTED: {"max_inverse_propensity": 20.0}}
ARMS = (SAMPLED, WITHOUT_PLACES, WEIGHTED, DEFAULT)
QUICK_STORE = {"num_users": 60, "num_items": 80, "num_events": 1200}
OF_SHOWN = ("auc", "mrr", "ndcg@5", "ndcg@10")


def prepare(seed: int, folder: pathlib.Path, quick: bool) -> Bench:
    """A store's artifacts and splits."""
    from homefeed.pipeline.datasets import sample

    dataset = DatasetDir(folder / "data")
    sample.write_sample(dataset.path, impressions=True, seed=seed, **(QUICK_STORE if quick else {}))
    parts = split_dataset(dataset, "temporal", folder)
    return bench_of(parts, folder, quick)


def train(bench: Bench, name: str, seed: int, retrieval: Model, bert: PretrainedBert) -> Recommender:
    """The fused model of one arm."""
    from homefeed.components.ranking_trainer.train import fit
    from homefeed.models.ranking.export import RankingModule

    shown, of_eval = (transformed.load_exposures(bench.examples, split) for split in ("train", "eval"))
    if name == WITHOUT_PLACES:
        shown, of_eval = (_without_places(exposures) for exposures in (shown, of_eval))
    config = ranking_trainer.Config(**{**bench.ranking, **SETTINGS.get(name, {})}, seed=seed)
    data = TrainingData(bench.catalogue, bench.train, bench.evaluation, bench.vocabulary, shown, of_eval)
    trained = fit(data, bert, retrieval, config)
    print(seed, name, trained.blend, trained.epochs[-1], flush=True)
    model, fused = (Model(bench.folder / f"{kind}-{name}") for kind in ("ranking", "fused"))
    RankingModule(trained, bench.catalogue, bench.train).save(model.serving_dir)
    fuser.run(fuser.Inputs(retrieval, model), fuser.Outputs(fused), fuser.Config())
    return Recommender.of_saved_model(fused.serving_dir)


def _without_places(exposures: Exposures | None) -> Exposures | None:
    return exposures and dataclasses.replace(exposures, position=np.zeros_like(exposures.position))


def measure_arm(bench: Bench, recommender: Recommender, tastes: Floats) -> dict[str, Floats]:
    """Metric → its value of each impression or query of test.

    Args:
        bench: of a store.
        recommender: of one arm.
        tastes: as from `true_tastes`.
    """
    exposures = transformed.load_exposures(bench.examples, "test")
    assert exposures is not None
    limits = evaluator.Config().limits
    shown = measure_shown(recommender, exposures, bench.test, bench.catalogue, limits.max_queries, limits.batch_size)
    found = {f"shown.{name}": shown[RANKING_ROW][name] for name in OF_SHOWN}
    found["as shown.auc"] = shown[AS_SHOWN]["auc"]
    measured = measure(recommender, None, {}, bench.test, bench.catalogue, limits)
    found["ndcg@10"] = metrics.ndcg(measured.ranks[RANKING_ROW], 10)
    users = np.array([bench.test.user_ids[row] for row in measured.queries.rows], object)
    gains = tastes[rows_of_users(users)]
    for query, history in enumerate(measured.queries.histories):
        gains[query, history] = 0  # What they have had is on no page.
    found["true tastes.page"] = _ndcg(np.take_along_axis(gains, measured.shown.rows, 1), gains)
    found["true tastes.shown"] = _ndcg_of_shown(bench, recommender, exposures, tastes)
    return found


def true_tastes(folder: pathlib.Path, item_ids: npt.NDArray[np.object_]) -> Floats:
    """[num_users, num_rows] how much an item is to a user's taste, by the simulation; 0 for row 0."""
    truth = Truth.read(folder, item_ids)
    who = np.arange(len(truth.users.age))
    shares = truth.users.categories[:, truth.items.category] + 1e-4  # Rounded to so much, down to nothing.
    tastes = shares * np.exp(TASTE * truth.liking(who))
    tastes[:, 0] = 0
    return tastes


def _ndcg(of_page: Floats, of_all: Floats) -> Floats:
    """[num_queries] graded NDCG@10."""
    discounts = 1 / np.log2(np.arange(2, 12))
    best = -np.sort(-of_all, axis=1)[:, :10]
    ideal = (best * discounts[: best.shape[1]]).sum(axis=1)
    return (of_page[:, :10] * discounts[: of_page.shape[1]]).sum(axis=1) / ideal


def _ndcg_of_shown(bench: Bench, recommender: Recommender, exposures: Exposures, tastes: Floats) -> Floats:
    """[num_impressions] of the shown items in our order against their best order."""
    from homefeed.components.evaluator.impressions import ordered_scores

    found, points = locate(exposures, bench.test)
    shown = exposures[found]
    scores = ordered_scores(recommender, shown, points, bench.test, bench.catalogue, 128)[RANKING_ROW]
    gains = tastes[rows_of_users(shown.user_ids)[shown.impression], shown.item_index]
    lengths = np.diff(shown.row_splits)
    present = np.arange(lengths.max()) < lengths[:, None]
    padded, order = np.zeros(present.shape), np.full(present.shape, -np.inf)
    padded[present], order[present] = gains, scores
    return _ndcg(np.take_along_axis(padded, np.argsort(-order, axis=1, kind="stable"), 1), padded)


def report(runs: Mapping[str, list[dict[str, Floats]]]) -> tuple[list[str], dict[str, float]]:
    """Markdown lines, and the figures to keep; intervals are over the impressions, or queries, of all seeds."""
    names = list(runs[DEFAULT][0])
    lines = [f"| method | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    kept: dict[str, float] = {}
    joined = {arm: {n: np.concatenate([seed[n] for seed in seeds]) for n in names} for arm, seeds in runs.items()}
    for arm, figures in joined.items():
        cells = []
        for name in names:
            each = [float(seed[name].mean()) for seed in runs[arm]]
            kept[f"{arm}.{name}"] = float(figures[name].mean())
            cells.append(f"{figures[name].mean():.4f} ({min(each):.4f} to {max(each):.4f})")
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    lines += ["", "Gained over sampled negatives, with 95% intervals:", "", *lines[:2]]
    for arm in (arm for arm in joined if arm != SAMPLED):
        cells = []
        for name in names:
            gained = metrics.paired_bootstrap(joined[arm][name], joined[SAMPLED][name], num_samples=2000)
            kept |= {f"{arm}.{name}.{end}": v for end, v in zip(("gain", "low", "high"), gained, strict=True)}
            cells.append("{:+.4f} ({:+.4f} to {:+.4f})".format(*gained))
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return lines, kept


def main() -> None:
    """Measures and, unless it is quick, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    runs: dict[str, list[dict[str, Floats]]] = {arm: [] for arm in asked.arms}
    for seed in asked.seeds:
        with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as folder:
            bench = prepare(seed, pathlib.Path(folder), asked.quick)
            tastes = true_tastes(bench.folder / "data", bench.catalogue.item_ids)
            bert, _ = pretrain(bench, seed)
            retrieval = train_retrieval(bench, seed, bert)
            for name, found in runs.items():
                found.append(measure_arm(bench, train(bench, name, seed, retrieval, bert), tastes))
                figures: dict[str, Any] = {metric: round(float(v.mean()), 4) for metric, v in found[-1].items()}
                print(seed, name, figures, flush=True)
    lines, kept = report(runs)
    print("\n".join(lines))
    if not asked.quick:
        results.merge("impressions", {name: round(value, 4) for name, value in kept.items()})
        text = "\n".join(["# Learning from what was shown", "", *lines, ""])
        (pathlib.Path(__file__).parent / "impressions.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
