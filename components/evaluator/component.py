"""Evaluator: full-ranking quality of the exported models beside baselines and models in service, and a verdict.

What it writes: `metrics.json` and `metrics.md` (the means), `evaluation.json` (everything: intervals, slices,
calibration, the comparison with the models in service, earlier models, the verdict), `report.html` for people, and
the model card that goes with the models when they are pushed.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from homefeed.components.artifacts.types import (
    Artifact,
    Examples,
    Model,
    ModelBlessing,
    ModelEvaluation,
    PushedModel,
    TransformGraph,
)
from homefeed.components.evaluator import slices as _slices
from homefeed.models.catalogue import Catalogue
from homefeed.models.evaluation import metrics
from homefeed.models.requests import Request, requests_from_sequences
from homefeed.models.sequences import Sequences
from homefeed.serving.predictors import LocalPredictor
from homefeed.serving.recommender import RANKING, RETRIEVAL, Recommender

if TYPE_CHECKING:
    from homefeed.models.evaluation import baselines

RETRIEVAL_ROW, RANKING_ROW, IN_SERVICE = "retrieval", "retrieval + ranking", "in service"
REPORT_FILE, PAGE_FILE, CARD_FILE = "evaluation.json", "report.html", "model_card.md"
PAGE_LENGTH = 10
NUM_BOOTSTRAPS = 2_000


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
    base_models: str = ""  # PushedModel in service (its folder) that the models must not fall behind; empty: none.
    base_margin: float = 0.0  # How much may be lost against it.
    slice_margin: float = 0.1  # And against it in new users, in new items and in each category.
    min_slice_queries: int = 50  # Fewer queries make no slice.


def config_inputs(config: Config) -> dict[str, Artifact]:
    """What the configuration names outside the pipeline: its content counts in cache and lineage."""
    return {"base_models": PushedModel(pathlib.Path(config.base_models))} if config.base_models else {}


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


@dataclasses.dataclass(frozen=True)
class Measured:
    """One split, measured.

    Attributes:
        queries: what was asked.
        ranks: method → ranks of the targets among every item that is new to the user.
        slices: name → [num_queries] bool.
        pages: [num_queries, 10] rows of the Catalogue: the best of retrieval + ranking; 0 where there is no more.
        probabilities: [num_queries] float64, of the target being liked; NaN where it was not retrieved.
        positive: [num_queries] bool, whether it was.
    """

    queries: Queries
    ranks: dict[str, metrics.Ranks]
    slices: dict[str, npt.NDArray[np.bool_]]
    pages: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    positive: npt.NDArray[np.bool_]


def measure(
    recommender: Recommender,
    in_service: Recommender | None,
    train: Sequences,
    sequences: Sequences,
    catalogue: Catalogue,
    config: Config,
) -> Measured:
    """Asks the baselines, the new models and those in service the same questions."""
    queries = make_queries(sequences, config.max_queries)
    ranks: dict[str, metrics.Ranks] = {}
    for name, baseline in fit_baselines(train, catalogue.num_rows, config).items():
        ranks[name] = _rank_in_batches(baseline, queries, config.batch_size)
    requests = list(requests_from_sequences(sequences, catalogue, queries.rows, queries.ends))
    targets = catalogue.item_ids[queries.targets]
    answers = ask(recommender, requests, targets, config.batch_size)
    ranks |= {RETRIEVAL_ROW: answers.retrieval, RANKING_ROW: answers.ranking}
    if in_service:
        ranks[IN_SERVICE] = ask(in_service, requests, targets, config.batch_size).ranking
    row_of = {item_id: row for row, item_id in enumerate(catalogue.item_ids)}
    pages = np.array([[row_of.get(item_id, 0) for item_id in page] for page in answers.pages], np.int64)
    return Measured(
        queries,
        ranks,
        _slices.slices(queries, sequences, catalogue, config.min_slice_queries),
        pages.reshape(len(queries), PAGE_LENGTH),
        answers.probabilities,
        sequences.positive[queries.ends],
    )


def evaluate(
    recommender: Recommender, train: Sequences, sequences: Sequences, catalogue: Catalogue, config: Config
) -> dict[str, metrics.Ranks]:
    """Method → the ranks of the split's targets among every item that is new to the user."""
    return measure(recommender, None, train, sequences, catalogue, config).ranks


@dataclasses.dataclass(frozen=True)
class Answers:
    """What models said to requests whose right answer is known.

    Attributes:
        retrieval: ranks by retrieval alone.
        ranking: ranks by retrieval and ranking.
        pages: [num_requests, 10] object (bytes), best first; b"" where there is no more.
        probabilities: [num_requests] float64, of the right answer; NaN where it was not retrieved.
    """

    retrieval: metrics.Ranks
    ranking: metrics.Ranks
    pages: npt.NDArray[np.object_]
    probabilities: npt.NDArray[np.float64]


def ask(
    recommender: Recommender, requests: Sequence[Request], targets: npt.NDArray[np.object_], batch_size: int
) -> Answers:
    """Ranks the right answers of some requests.

    Args:
        recommender: asked in batches.
        requests: with histories that the right answers are not in.
        targets: [num_requests] object (bytes), the right answers.
        batch_size: requests in one call.
    """
    retrieval, ranking = [], []
    pages: list[npt.NDArray[np.object_]] = [np.empty((0, PAGE_LENGTH), object)]
    probabilities = [np.empty(0)]
    for start in range(0, len(requests), batch_size):
        batch = slice(start, start + batch_size)
        found = recommender.candidates(requests[batch])
        retrieval.append(_ranks_in(found.item_ids, found.retrieval_scores, targets[batch]))
        ranking.append(_ranks_in(found.item_ids, found.scores, targets[batch]))
        best = np.argsort(-found.scores, axis=1, kind="stable")[:, :PAGE_LENGTH]
        page = np.full((len(best), PAGE_LENGTH), b"", object)
        page[:, : best.shape[1]] = np.take_along_axis(found.item_ids, best, axis=1)
        pages.append(page)
        places = found.item_ids == targets[batch, None]
        known = np.where(places, found.probabilities, -np.inf).max(axis=1, initial=-np.inf)
        probabilities.append(np.where(np.isfinite(known), known, np.nan).astype(np.float64))
    return Answers(_join(retrieval), _join(ranking), np.concatenate(pages), np.concatenate(probabilities))


def fit_baselines(train: Sequences, num_rows: int, config: Config) -> dict[str, baselines.Baseline]:
    """What every model is measured against."""
    from homefeed.models.evaluation import baselines

    fitted: dict[str, baselines.Baseline] = {"popularity": baselines.Popularity().fit(train, num_rows)}
    if num_rows - 1 <= config.max_ease_items and train.num_users:
        fitted["EASE"] = baselines.Ease().fit(train, num_rows)
    return fitted


def judge(
    ranks: Mapping[str, metrics.Ranks], config: Config, slices: Mapping[str, npt.NDArray[np.bool_]] | None = None
) -> list[str]:
    """Reasons against a blessing; empty if there are none. Chance differences are none: a loss counts when
    its whole 95% interval (paired bootstrap over queries) lies beyond the margin."""
    ours = metrics.ndcg(ranks[RANKING_ROW], 10)
    if not len(ours):
        return ["the eval split holds no event that could be predicted, so the models cannot be judged"]
    margins = {"popularity": config.popularity_margin, RETRIEVAL_ROW: config.ranking_margin}
    if IN_SERVICE in ranks:
        margins[IN_SERVICE] = config.base_margin
    reasons = []
    for rival, margin in margins.items():
        reasons += _losses(ours, metrics.ndcg(ranks[rival], 10), rival, margin)
    if IN_SERVICE in ranks:
        theirs = metrics.ndcg(ranks[IN_SERVICE], 10)
        for name, mask in (slices or {}).items():
            if _slices.is_guarded(name):
                reasons += _losses(ours[mask], theirs[mask], f"{IN_SERVICE} in slice {name!r}", config.slice_margin)
    return reasons


def _losses(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64], rival: str, margin: float) -> list[str]:
    difference, low, high = metrics.paired_bootstrap(ours, theirs, num_samples=NUM_BOOTSTRAPS)
    if high >= -margin * theirs.mean():
        return []
    return [
        f"NDCG@10 of {RANKING_ROW} is {ours.mean():.4f}, more than {margin:.0%} below {theirs.mean():.4f} "
        f"of {rival}: difference {difference:+.4f}, 95% interval [{low:+.4f}, {high:+.4f}]"
    ]


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
    from homefeed.components.artifacts import transformed
    from homefeed.components.evaluator import report as _evaluation_report

    catalogue = transformed.load_catalogue(inputs.transform_graph)
    train, *others = (
        transformed.load_sequences(inputs.transform_graph, inputs.examples, split)
        for split in ("train", "eval", "test")
    )
    models = {RETRIEVAL: inputs.retrieval_model.serving_dir, RANKING: inputs.ranking_model.serving_dir}
    recommender = Recommender(LocalPredictor(models), config.num_candidates)
    base = PushedModel(pathlib.Path(config.base_models)) if config.base_models else None
    in_service = _in_service(base, config) if base else None
    measured = {
        split: measure(recommender, in_service, train, sequences, catalogue, config)
        for split, sequences in zip(("eval", "test"), others, strict=True)
    }
    means = {split: {method: _figures(r) for method, r in found.ranks.items()} for split, found in measured.items()}
    outputs.evaluation.write_json("metrics.json", means)
    (outputs.evaluation.path / "metrics.md").write_text(to_markdown(means), encoding="utf-8")
    reasons = judge(measured["eval"].ranks, config, measured["eval"].slices)
    _evaluation_report.write(outputs.evaluation, means, measured, catalogue, train, reasons, base)
    outputs.blessing.write_reasons(reasons)
    ours = means["test"][RANKING_ROW]
    return f"NDCG@10 {ours['ndcg@10']:.4f}, Recall@100 {ours['recall@100']:.4f} on test"


def _in_service(base: PushedModel, config: Config) -> Recommender:
    pushed = base.models()
    return Recommender(LocalPredictor({name: pushed[name] for name in (RETRIEVAL, RANKING)}), config.num_candidates)


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
