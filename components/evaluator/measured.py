"""One split, measured: the ranks of what users chose, by every method, and the pages that they would have seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from homefeed.components.evaluator.answers import PAGE_LENGTH, Page, ask
from homefeed.components.evaluator.queries import Limits, Queries, make_queries
from homefeed.components.evaluator.slices import slices
from homefeed.models.catalogue import Catalogue
from homefeed.models.evaluation import baselines, metrics
from homefeed.models.objectives import Objectives
from homefeed.models.requests import requests_from_sequences
from homefeed.models.sequences import Sequences
from homefeed.models.shared.prediction_points import PredictionPoints, places_of_coming
from homefeed.serving.recommender import Recommender

RETRIEVAL_ROW, RANKING_ROW, IN_SERVICE = "retrieval", "retrieval + ranking", "in service"
POPULARITY, CONTENT, TEXT, EASE = "popularity", "content alone", "text alone", "EASE"
_MAX_TUNING_QUERIES = 2_000


class Scorer(Protocol):
    """Scores the catalogue from a history alone."""

    def scores(self, histories: baselines.Histories) -> npt.NDArray[np.float32]:
        """[num_queries, num_rows] float32, higher is better, from rows of the catalogue (0 is skipped)."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """The pages of retrieval + ranking, and what became of what they show: users may choose it later in the split.

    Attributes:
        rows: [num_queries, 10] rows of the Catalogue; 0 where there is no more.
        probabilities: [num_queries, 10] float64, of being liked; NaN where there is no more.
        values: [num_queries, 10] float64, expected; NaN where there is no more.
        events: [num_queries, 10] int64 positions of the events in which users chose it later in the split; -1: none.
    """

    rows: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    events: npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured on one split.

    Attributes:
        queries: what was asked.
        ranks: method → ranks of the targets among every item that is new to the user.
        slices: name → [num_queries] bool.
        probabilities: [num_queries] float64, of the target being liked; NaN where it was not retrieved.
        positive: [num_queries] bool, whether it was.
        objective: name of what lists are sorted for.
        values: [num_queries] float64, what the target was expected to be worth to it; NaN where it was not retrieved.
        worth: [num_queries] float64, what it was.
        weights: [num_queries] float64, of each query in a mean that counts targets by their worth; 1 where every
            interaction is worth the same.
        shown: what is known of the pages.
        mixes: weight of the expected value, by the served one → ranks and page.
    """

    queries: Queries
    ranks: dict[str, metrics.Ranks]
    slices: dict[str, npt.NDArray[np.bool_]]
    probabilities: npt.NDArray[np.float64]
    positive: npt.NDArray[np.bool_]
    objective: str
    values: npt.NDArray[np.float64]
    worth: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    shown: Shown
    mixes: Mapping[float, tuple[metrics.Ranks, Page]]


def measure(
    recommender: Recommender,
    in_service: Recommender | None,
    rivals: Mapping[str, Scorer],
    sequences: Sequences,
    catalogue: Catalogue,
    limits: Limits,
) -> Measured:
    """Asks the new models, those in service and others beside them the same questions."""
    queries = make_queries(sequences, limits.max_queries)
    ranks = {name: _rank_in_batches(rival, queries, limits.batch_size) for name, rival in rivals.items()}
    requests = list(requests_from_sequences(sequences, catalogue, queries.rows, queries.ends))
    targets = catalogue.item_ids[queries.targets]
    answers = ask(recommender, requests, targets, limits.batch_size)
    ranks |= {RETRIEVAL_ROW: answers.retrieval, RANKING_ROW: answers.ranking}
    if in_service:
        ranks[IN_SERVICE] = ask(in_service, requests, targets, limits.batch_size).ranking
    objectives = Objectives.of(sequences, catalogue)
    shown = _shown(answers.page, queries, sequences, catalogue)
    worth = objectives.happened(0, sequences, queries.ends)
    gains = np.maximum(worth, 0)
    return Measured(
        queries,
        ranks,
        slices(queries, sequences, catalogue, limits.min_slice_queries),
        answers.probabilities,
        sequences.positive[queries.ends],
        objectives.names[0],
        answers.values,
        worth,
        worth / gains.mean() if gains.any() else np.ones(len(queries)),
        shown,
        answers.mixes,
    )


def _shown(page: Page, queries: Queries, sequences: Sequences, catalogue: Catalogue) -> Shown:
    row_of = {item_id: row for row, item_id in enumerate(catalogue.item_ids)}
    rows = np.array([[row_of.get(item_id, 0) for item_id in ids] for ids in page.item_ids], np.int64)
    rows = rows.reshape(len(queries), PAGE_LENGTH)
    points = PredictionPoints(queries.rows, queries.ends)
    events = places_of_coming(sequences, points, rows.astype(np.int32))
    return Shown(rows, page.probabilities, page.values, events)


def fit_baselines(
    train: Sequences, evaluation: Sequences, catalogue: Catalogue, limits: Limits
) -> dict[str, baselines.Baseline]:
    """What every model is measured against.

    EASE is tuned on the eval split, and is there only where the catalogue has at most `limits.max_ease_items`.
    """
    num_rows = catalogue.num_rows
    fitted: dict[str, baselines.Baseline] = {
        POPULARITY: baselines.Popularity().fit(train, num_rows),
        CONTENT: baselines.Content(catalogue.token_ids).fit(train, num_rows),
    }
    if num_rows - 1 <= limits.max_ease_items and train.num_users:
        asked = make_queries(evaluation, _MAX_TUNING_QUERIES)
        seconds = limits.max_ease_seconds
        fitted[EASE] = baselines.tuned_ease(train, num_rows, asked.histories, asked.targets, seconds)
    return fitted


def ease_regularization(rivals: Mapping[str, Scorer]) -> float | None:
    """What the eval split chose for EASE; None where there is no EASE."""
    ease = rivals.get(EASE)
    return ease.regularization if isinstance(ease, baselines.Ease) else None


def limits_met(found: Mapping[str, Measured], num_rows: int, limits: Limits) -> list[str]:
    """What was left out for its cost, with the setting that says how much that is."""
    met = [
        f"{len(of_split.queries):,} of {of_split.queries.num_possible:,} events of {split} (evaluator.max_queries)"
        for split, of_split in found.items()
        if len(of_split.queries) < of_split.queries.num_possible
    ]
    if num_rows - 1 > limits.max_ease_items:
        met.append(f"no EASE of {num_rows - 1:,} items (evaluator.max_ease_items)")
    return met


def _rank_in_batches(scorer: Scorer, queries: Queries, batch_size: int) -> metrics.Ranks:
    parts = []
    for start in range(0, len(queries), batch_size):
        histories = queries.histories[start : start + batch_size]
        targets = queries.targets[start : start + batch_size]
        parts.append(metrics.rank_targets(scorer.scores(histories), targets, histories))
    return metrics.joined(parts)
