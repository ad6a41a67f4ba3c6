"""Evaluator: full-ranking quality of the exported models beside baselines, and a blessing with its reasons."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from components.artifacts import Examples, Model, ModelBlessing, ModelEvaluation, TransformGraph
from models import metrics
from models.catalogue import Catalogue
from models.requests import requests_from_sequences
from models.sequences import Sequences
from serving.predictors import LocalPredictor
from serving.recommender import RANKING, RETRIEVAL, Recommender

if TYPE_CHECKING:
    from models import baselines

RETRIEVAL_ROW, RANKING_ROW = "retrieval", "retrieval + ranking"


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The transformed examples and the exported models."""

    transform_graph: TransformGraph
    examples: Examples
    retrieval_model: Model
    ranking_model: Model


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The figures and the verdict."""

    evaluation: ModelEvaluation
    blessing: ModelBlessing


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured, and what a blessing takes. Every margin is a relative loss of NDCG@10."""

    num_candidates: int = 100  # Retrieved and ranked for each query.
    max_queries: int = 20_000  # A larger split is sampled, evenly over its queries.
    batch_size: int = 128  # Queries in one call of a model.
    max_ease_items: int = 10_000  # EASE inverts a matrix over the catalogue; larger ones are spared it.
    popularity_margin: float = 0.0  # How much retrieval + ranking may lose against popularity.
    ranking_margin: float = 0.02  # And against retrieval alone.


@dataclasses.dataclass(frozen=True)
class Queries:
    """The events of a split that can be predicted: in the catalogue, and new to their user.

    Attributes:
        rows: [num_queries] int64 rows of the Sequences.
        ends: [num_queries] int64 positions of the target events; what the row has before one is its history.
        targets: [num_queries] int64 rows of the Catalogue.
        histories: per query, the catalogue rows of its history.
    """

    rows: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    histories: list[npt.NDArray[np.int32]]

    def __len__(self) -> int:
        return len(self.rows)


def make_queries(sequences: Sequences, max_queries: int) -> Queries:
    """One query for each event of the split on an item that its user has not had before."""
    ends = sequences.targets
    rows = np.searchsorted(sequences.row_splits, ends, side="right") - 1
    histories = [sequences.item_index[sequences.row_splits[row] : end] for row, end in zip(rows, ends, strict=True)]
    targets = sequences.item_index[ends].astype(np.int64)
    valid = np.array([t > 0 and t not in h for t, h in zip(targets, histories, strict=True)], bool)
    kept = np.flatnonzero(valid)
    if len(kept) > max_queries:
        kept = kept[np.linspace(0, len(kept) - 1, max_queries).astype(np.int64)]
    # Equal lengths side by side: a batch is padded to its longest history.
    kept = kept[np.argsort([len(histories[query]) for query in kept], kind="stable")]
    return Queries(rows[kept], ends[kept], targets[kept], [histories[query] for query in kept])


def evaluate(
    recommender: Recommender, train: Sequences, sequences: Sequences, catalogue: Catalogue, config: Config
) -> dict[str, metrics.Ranks]:
    """Method → the ranks of the split's targets among every item that is new to the user."""
    queries = make_queries(sequences, config.max_queries)
    ranks: dict[str, metrics.Ranks] = {}
    for name, baseline in fit_baselines(train, catalogue.num_rows, config).items():
        ranks[name] = _rank_in_batches(baseline, queries, config.batch_size)
    return ranks | _rank_with_models(recommender, sequences, catalogue, queries, config)


def fit_baselines(train: Sequences, num_rows: int, config: Config) -> dict[str, baselines.Baseline]:
    """What every model is measured against."""
    from models import baselines

    fitted: dict[str, baselines.Baseline] = {"popularity": baselines.Popularity().fit(train, num_rows)}
    if num_rows - 1 <= config.max_ease_items and train.num_users:
        fitted["EASE"] = baselines.Ease().fit(train, num_rows)
    return fitted


def judge(ranks: Mapping[str, metrics.Ranks], config: Config) -> list[str]:
    """Reasons against a blessing; empty if there are none. Chance differences are none: a loss counts when
    its whole 95% interval (paired bootstrap over queries) lies beyond the margin."""
    ours = metrics.ndcg(ranks[RANKING_ROW], 10)
    if not len(ours):
        return ["the eval split holds no event that could be predicted, so the models cannot be judged"]
    reasons = []
    for rival, margin in (("popularity", config.popularity_margin), (RETRIEVAL_ROW, config.ranking_margin)):
        theirs = metrics.ndcg(ranks[rival], 10)
        difference, low, high = metrics.paired_bootstrap(ours, theirs)
        if high < -margin * theirs.mean():
            reasons.append(
                f"NDCG@10 of {RANKING_ROW} is {ours.mean():.4f}, more than {margin:.0%} below {theirs.mean():.4f} "
                f"of {rival}: difference {difference:+.4f}, 95% interval [{low:+.4f}, {high:+.4f}]"
            )
    return reasons


def to_markdown(report: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """split → method → metric → figure, as one table a split."""
    lines = []
    for split, methods in report.items():
        names = list(next(iter(methods.values())))
        lines += [f"## {split}", "", f"| method | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
        lines += [
            f"| {method} | {' | '.join(_written(figures[name]) for name in names)} |"
            for method, figures in methods.items()
        ]
        lines.append("")
    return "\n".join(lines)


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Measures on `eval`, which decides, and on `test`, which is only reported."""
    from components import transformed

    catalogue = transformed.load_catalogue(inputs.transform_graph)
    train, *others = (
        transformed.load_sequences(inputs.transform_graph, inputs.examples, split)
        for split in ("train", "eval", "test")
    )
    models = {RETRIEVAL: inputs.retrieval_model.serving_dir, RANKING: inputs.ranking_model.serving_dir}
    recommender = Recommender(LocalPredictor(models), config.num_candidates)
    ranks = {
        split: evaluate(recommender, train, sequences, catalogue, config)
        for split, sequences in zip(("eval", "test"), others, strict=True)
    }
    report = {
        split: {method: _figures(found) for method, found in methods.items()} for split, methods in ranks.items()
    }
    outputs.evaluation.write_json("metrics.json", report)
    (outputs.evaluation.path / "metrics.md").write_text(to_markdown(report), encoding="utf-8")
    outputs.blessing.write_reasons(judge(ranks["eval"], config))
    ours = report["test"][RANKING_ROW]
    return f"NDCG@10 {ours['ndcg@10']:.4f}, Recall@100 {ours['recall@100']:.4f} on test"


def _written(figure: float) -> str:
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:.4f}"


def _figures(ranks: metrics.Ranks) -> dict[str, float]:
    """The mean of each metric and the number of queries; a split without queries has zeros."""
    num_queries = len(ranks.above)
    figures = metrics.summarize(ranks)
    return {name: value if num_queries else 0.0 for name, value in figures.items()} | {"queries": num_queries}


def _rank_in_batches(baseline: baselines.Baseline, queries: Queries, batch_size: int) -> metrics.Ranks:
    parts = []
    for start in range(0, len(queries), batch_size):
        histories = queries.histories[start : start + batch_size]
        targets = queries.targets[start : start + batch_size]
        parts.append(metrics.rank_targets(baseline.scores(histories), targets, histories))
    return _join(parts)


def _rank_with_models(
    recommender: Recommender, sequences: Sequences, catalogue: Catalogue, queries: Queries, config: Config
) -> dict[str, metrics.Ranks]:
    requests = list(requests_from_sequences(sequences, catalogue, queries.rows, queries.ends))
    retrieval, ranking = [], []
    for start in range(0, len(queries), config.batch_size):
        batch = slice(start, start + config.batch_size)
        found = recommender.candidates(requests[batch])
        targets = catalogue.item_ids[queries.targets[batch]]
        retrieval.append(_ranks_in(found.item_ids, found.retrieval_scores, targets))
        ranking.append(_ranks_in(found.item_ids, found.scores, targets))
    return {RETRIEVAL_ROW: _join(retrieval), RANKING_ROW: _join(ranking)}


def _ranks_in(
    item_ids: npt.NDArray[np.object_], scores: npt.NDArray[np.float32], targets: npt.NDArray[np.object_]
) -> metrics.Ranks:
    """Ranks of targets among scored candidates; one that was not retrieved is a miss at every cut-off."""
    places = item_ids == targets[:, None]
    found = places.any(axis=1)
    target_scores = scores[np.arange(len(scores)), places.argmax(axis=1)][:, None]
    above = np.where(found, (scores > target_scores).sum(axis=1), np.iinfo(np.int32).max)
    tied = np.where(found, (scores == target_scores).sum(axis=1) - 1, 0)
    return metrics.Ranks(above.astype(np.int64), tied.astype(np.int64))


def _join(parts: list[metrics.Ranks]) -> metrics.Ranks:
    empty = np.empty(0, np.int64)
    return metrics.Ranks(
        np.concatenate([empty, *(part.above for part in parts)]),
        np.concatenate([empty, *(part.tied for part in parts)]),
    )
