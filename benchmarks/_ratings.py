"""P3: how well ratings, and P(rating ≥ 4), are foretold, beside a constant and a model of biases."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.retrieval import prepare
from homefeed.components.artifacts.types import TransformGraph
from homefeed.models.catalogue import Catalogue
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.sequences import Sequences

RATINGS = Hyperparameters(
    targets="any",
    num_targets=64,
    num_negatives=0,
    max_rated_events=500,
    epochs=6,
    learning_rate=5e-4,
    list_weight=0.0,
)
"""P3 has no order and no retrieval: other targets, no listwise loss, and as many ratings as there are."""

Floats = npt.NDArray[np.float64]
SPLIT_SEED = 42
NUM_BINS = 15  # Of the calibration error.
RIDGES = (1.0, 3.0, 10.0, 30.0)  # Of the biases; eval chooses.


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


def rating_data(source: str | None, split: str, folder: pathlib.Path) -> RatingData:
    """MovieLens-100K: `random` 80/10/10, or `temporal` as in P2."""
    from homefeed.components.artifacts import transformed

    data = prepare(source, "leave_one_out" if split == "random" else split, folder)
    vocabulary = transformed.load_wordpiece(TransformGraph(folder / "graph"))
    if split != "random":
        return RatingData(data.catalogue, vocabulary, data.train, data.evaluation, data.test)
    train, evaluation, test = (split_ratings(data.test, part) for part in range(3))
    counts = np.bincount(train.item_index, minlength=data.catalogue.num_rows).astype(np.int64)
    return RatingData(dataclasses.replace(data.catalogue, train_counts=counts), vocabulary, train, evaluation, test)


def rating_figures(probability: Floats, rating: Floats, positive: Floats, value: Floats) -> dict[str, float]:
    """Brier score, AUC, log-loss and calibration error of P(positive); RMSE of the rating."""
    return {
        "brier": float(np.mean((probability - positive) ** 2)),
        "auc": auc(probability, positive),
        "log_loss": float(-np.mean(np.log(np.clip(np.where(positive > 0, probability, 1 - probability), 1e-7, 1)))),
        "ece": calibration_error(probability, positive),
        "rmse": float(np.sqrt(np.mean((rating - value) ** 2))),
    }


def auc(score: Floats, positive: Floats) -> float:
    """Probability that a positive scores above a negative; a tie counts half."""
    _, which, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[which]  # From 1; tied ones share the middle.
    num = positive.sum()
    return float((rank[positive > 0].sum() - num * (num + 1) / 2) / max(num * (len(score) - num), 1))


def calibration_error(probability: Floats, positive: Floats) -> float:
    """Mean gap between what was said and what came, over equally wide bins of what was said."""
    bins = np.minimum((probability * NUM_BINS).astype(int), NUM_BINS - 1)
    return float(np.abs(np.bincount(bins, probability - positive, NUM_BINS)).sum() / len(positive))


def bias_model(
    train: Sequences, labels: Floats, ridge: float, num_items: int
) -> tuple[float, dict[bytes, float], Floats]:
    """mean, b_u by user id, b_i: regularised least squares by alternation; unknown ones are 0."""
    user = np.repeat(np.arange(train.num_users), np.diff(train.row_splits))
    item, centred = train.item_index, labels - labels.mean()
    of_user, of_item = np.zeros(train.num_users), np.zeros(num_items)
    num_user, num_item = np.bincount(user, minlength=train.num_users), np.bincount(item, minlength=num_items)
    for _ in range(20):
        of_item = np.bincount(item, centred - of_user[user], num_items) / (num_item + ridge)
        of_user = np.bincount(user, centred - of_item[item], train.num_users) / (num_user + ridge)
    return float(labels.mean()), dict(zip(train.user_ids, of_user, strict=True)), of_item


def biases(data: RatingData, kind: str) -> Floats:
    """[num_targets] of the test split: rating (`value`) or P(positive) (`positive`) by biases."""

    def predicted(sequences: Sequences, ridge: float) -> Floats:
        mean, of_user, of_item = bias_model(
            data.train, getattr(data.train, kind).astype(np.float64), ridge, data.catalogue.num_rows
        )
        targets = sequences.targets
        row = np.searchsorted(sequences.row_splits, targets, side="right") - 1
        user = np.array([of_user.get(user_id, 0.0) for user_id in sequences.user_ids])[row]
        low, high = (0.0, 1.0) if kind == "positive" else (data.train.value.min(), data.train.value.max())
        return np.clip(mean + user + of_item[sequences.item_index[targets]], low, high)

    truth = getattr(data.evaluation, kind)[data.evaluation.targets]
    best = min(RIDGES, key=lambda ridge: float(np.mean((predicted(data.evaluation, ridge) - truth) ** 2)))
    return predicted(data.test, best)


def measure_ratings(data: RatingData, seed: int) -> dict[str, dict[str, float]]:
    """Method → figures on the test split."""
    from homefeed.models.ranking.ranker import Ranker
    from homefeed.models.ranking.training import fit as training
    from homefeed.models.ranking.training.on_eval import predict
    from homefeed.models.text import bert, fitting
    from homefeed.models.text.settings import Settings

    config = dataclasses.replace(RATINGS, seed=seed)
    bert.keras_seed(seed)
    start = time.process_time()
    settings = Settings(num_layers=1, width=64, fine_tuning_steps=0, head_steps=0)
    backbone = bert.new_bert(len(data.vocabulary), layers=1, width=64, length=128, dropout=0.0)
    splits = data.train, data.evaluation
    text = fitting.fit(data.catalogue, *splits, data.vocabulary, backbone, None, settings).model
    ranker = Ranker(text, data.catalogue, data.train, config)
    trained = training.fit(ranker, *splits, _nothing, config)
    elapsed = time.process_time() - start
    probability, rating, positive, value = predict(trained, data.test)
    constant = np.full_like(positive, data.train.positive.mean())
    mean = np.full_like(value, data.train.value.mean())
    of_biases = biases(data, "positive"), biases(data, "value")
    targets = data.test.targets
    return {
        "constant": rating_figures(constant, mean, positive, value),
        "biases": rating_figures(*of_biases, data.test.positive[targets].astype(float), data.test.value[targets]),
        "homefeed": rating_figures(probability, rating, positive, value) | {"cpu_seconds": elapsed},
    }


def _nothing(sequences: Sequences, points: Any, k: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    return np.zeros((len(points), k), np.int32), np.zeros((len(points), k), np.float32)
