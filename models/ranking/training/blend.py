"""Weights of the three scores and calibration of probabilities, both fitted on the eval split."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special

from homefeed.models.evaluation import metrics

Floats = npt.NDArray[np.float64]

SCALES = (0.0, 0.25, 0.5, 1.0, 2.0)  # Of the ranker's most likely weight.


@dataclasses.dataclass(frozen=True)
class Blend:
    """`retrieval` × standardised retrieval score + `ranker` × the ranker's logit + `text` × texts' affinity."""

    retrieval: float = 1.0
    ranker: float = 0.0
    text: float = 0.0


@dataclasses.dataclass(frozen=True)
class Calibration:
    """P(positive) = sigmoid(`slope` × logit + `offset`) (Platt, 1999)."""

    slope: float = 1.0
    offset: float = 0.0


def standardise(scores: npt.NDArray[np.float32], present: npt.NDArray[np.bool_]) -> Floats:
    """[batch, num_candidates]: each request's retrieval scores with mean 0 and deviation 1; 0 where absent."""
    count = np.maximum(present.sum(1, keepdims=True), 1)
    kept = np.where(present, scores, 0).astype(np.float64)
    centred = np.where(present, kept - kept.sum(1, keepdims=True) / count, 0)
    return centred / (np.sqrt((centred**2).sum(1, keepdims=True) / count) + 1e-6)


def fit_blend(
    retrieval: Floats,
    logits: Floats,
    texts: Floats,
    target: npt.NDArray[np.int64],
    present: npt.NDArray[np.bool_],
) -> Blend:
    """The weights that put what happened highest.

    Retrieval was trained on the training split, so only other events tell how far it can be trusted. The most likely
    weights under a softmax over each request's candidates are where the search starts; as the first places of a list
    may want less or more of the ranker than the list as a whole, its weight is then scaled by the best of `SCALES`.

    Args:
        retrieval: [num_requests, num_candidates] standardised.
        logits: [num_requests, num_candidates] the ranker's.
        texts: [num_requests, num_candidates] how well their texts suit.
        target: [num_requests] place of what happened, -1 if it was not retrieved.
        present: [num_requests, num_candidates] bool.
    """
    found = target >= 0
    if not found.any():
        return Blend()
    parts = np.stack([retrieval[found], logits[found], texts[found]], -1)
    mask, place = present[found], target[found]
    chosen = np.take_along_axis(parts, place[:, None, None], 1)[:, 0]

    def loss(weights: Floats) -> tuple[float, Floats]:
        scores = np.where(mask, parts @ weights, -np.inf)
        shares = scipy.special.softmax(scores, axis=1)
        expected = (shares[..., None] * parts).sum(1)
        likelihood = (chosen @ weights - scipy.special.logsumexp(scores, axis=1)).mean()
        from_start = weights - start  # Where eval says nothing of a weight, it stays.
        return -likelihood + 1e-4 * from_start @ from_start, -(chosen - expected).mean(0) + 2e-4 * from_start

    start = np.array([1.0, 0.1, 1.0])
    best = scipy.optimize.minimize(loss, start, jac=True, bounds=[(0, None)] * 3, method="L-BFGS-B").x
    blends = [Blend(), *(Blend(*map(float, best * [1, scale, 1])) for scale in SCALES)]
    quality = [_ndcg(np.where(mask, parts @ dataclasses.astuple(b), -np.inf), place) for b in blends]
    return blends[int(np.argmax(quality))]


def fit_calibration(logits: Floats, positive: Floats) -> Calibration:
    """The most likely slope and offset; no change where only one answer was seen.

    Args:
        logits: [num_events] float64.
        positive: [num_events] float64, 1 for liked.
    """
    if not len(positive) or not 0 < positive.mean() < 1:
        return Calibration()

    def loss(parameters: Floats) -> tuple[float, Floats]:
        z = parameters[0] * logits + parameters[1]
        error = scipy.special.expit(z) - positive
        value = (np.logaddexp(0, z) - positive * z).mean() + 1e-4 * (parameters[0] - 1) ** 2
        return value, np.array([(error * logits).mean() + 2e-4 * (parameters[0] - 1), error.mean()])

    slope, offset = scipy.optimize.minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B").x
    return Calibration(float(slope), float(offset))


def _ndcg(scores: Floats, target: npt.NDArray[np.int64]) -> float:
    of_target = np.take_along_axis(scores, target[:, None], 1)
    above = (scores > of_target).sum(1)
    tied = (scores == of_target).sum(1) - 1
    return float(metrics.ndcg(metrics.Ranks(above, tied), 10).mean())
