"""Weights of the three scores, and of the expected value beside them, fitted on the eval split."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special

from homefeed.models.evaluation import metrics

Floats = npt.NDArray[np.float64]

SCALES = (0.0, 0.25, 0.5, 1.0, 2.0)  # Of the ranker's most likely weight.
VALUE_SCALES = (0.0, *(float(2 ** (step / 4)) for step in range(-20, 13)))  # Of a deviation of both, 1/32 to 8.


@dataclasses.dataclass(frozen=True)
class Blend:
    """What a list is sorted by.

    `retrieval` × standardised retrieval score + `ranker` × the ranker's logit + `text` × texts' affinity, together
    the interest in a candidate, + `value` × its expected value.
    """

    retrieval: float = 1.0
    ranker: float = 0.0
    text: float = 0.0
    value: float = 0.0

    @property
    def interest(self) -> Floats:
        """[3] the weights without that of the value."""
        return np.array([self.retrieval, self.ranker, self.text])

    def scaled(self, factor: float) -> Blend:
        """The same order, by scores that differ by so much more."""
        return Blend(*(factor * weight for weight in dataclasses.astuple(self)))


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
    """The weights of interest that put what happened highest.

    Retrieval was trained on the training split, so only other events tell how far it can be trusted. The most likely
    weights under a softmax over each request's candidates are where the search starts; as the first places of a list
    may want less or more of the ranker than the list as a whole, its weight is then scaled by the best of `SCALES`.
    What is found is scaled as a whole until it is most likely: the interest in candidates is their log-odds.

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
    best = most_likely_weights(parts, mask, place)
    blends = [Blend(), *(Blend(*map(float, best * [1, scale, 1])) for scale in SCALES)]
    scores = [np.where(mask, parts @ blend.interest, -np.inf) for blend in blends]
    first = int(np.argmax([_ndcg(of_blend, place).mean() for of_blend in scores]))
    return blends[first].scaled(most_likely_scale(scores[first], place))


def most_likely_weights(
    parts: Floats, present: npt.NDArray[np.bool_], place: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """[3] weights under which what happened is most likely.

    Args:
        parts: [num_requests, num_candidates, 3] the three scores.
        present: [num_requests, num_candidates] bool.
        place: [num_requests] of what happened.
    """
    chosen = np.take_along_axis(parts, place[:, None, None], 1)[:, 0]

    def loss(weights: Floats) -> tuple[float, Floats]:
        scores = np.where(present, parts @ weights, -np.inf)
        shares = scipy.special.softmax(scores, axis=1)
        expected = (shares[..., None] * parts).sum(1)
        likelihood = (chosen @ weights - scipy.special.logsumexp(scores, axis=1)).mean()
        from_start = weights - start  # Where eval says nothing of a weight, it stays.
        return -likelihood + 1e-4 * from_start @ from_start, -(chosen - expected).mean(0) + 2e-4 * from_start

    start = np.array([1.0, 0.1, 1.0])
    best: Floats = scipy.optimize.minimize(loss, start, jac=True, bounds=[(0, None)] * 3, method="L-BFGS-B").x
    return best


def most_likely_scale(scores: Floats, place: npt.NDArray[np.int64]) -> float:
    """The factor under which scores are log-odds: what happened is most likely by a softmax over each list.

    Args:
        scores: [num_requests, num_candidates], -inf where there is none.
        place: [num_requests] of what happened.
    """

    def loss(log_scale: float) -> float:
        scaled = np.exp(log_scale) * scores
        of_chosen = np.take_along_axis(scaled, place[:, None], 1)[:, 0]
        # A few lists say little: the factor is around 1 unless they say otherwise.
        return float((scipy.special.logsumexp(scaled, axis=1) - of_chosen).sum() + log_scale**2 / 2)

    return float(np.exp(scipy.optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def fit_value_weight(
    interest: Floats,
    values: Floats,
    target: npt.NDArray[np.int64],
    worth: Floats,
    present: npt.NDArray[np.bool_],
    price: float,
) -> float:
    """How much the expected value of a candidate counts beside how likely it comes next.

    A list is worth what comes of it: the worth of each target times its gain in NDCG@10. Of the weights whose lists
    are worth the most, but for the share `price`, it is the largest: it fills the other places with the best, too.

    Args:
        interest: [num_requests, num_candidates] how likely each comes next, as a logit.
        values: [num_requests, num_candidates] expected values.
        target: [num_requests] place of what happened, -1 if it was not retrieved.
        worth: [num_requests] of what happened.
        present: [num_requests, num_candidates] bool.
        price: share of a list's worth.
    """
    counts = (target >= 0) & (worth != 0)
    unit = _deviation(interest, present) / max(_deviation(values, present), 1e-9)
    if not counts.any() or not _deviation(values, present):
        return 0.0
    weights = unit * np.array(VALUE_SCALES)
    scores = (interest[counts] + weight * values[counts] for weight in weights)
    lists = [
        float((worth[counts] * _ndcg(np.where(present[counts], s, -np.inf), target[counts])).mean()) for s in scores
    ]
    best = max(lists)
    return float(weights[max(np.flatnonzero(np.array(lists) >= best - price * abs(best)))])


def _deviation(scores: Floats, present: npt.NDArray[np.bool_]) -> float:
    """The mean deviation within a request."""
    count = np.maximum(present.sum(1, keepdims=True), 1)
    kept = np.where(present, scores, 0)
    centred = np.where(present, scores - kept.sum(1, keepdims=True) / count, 0)
    return float(np.sqrt((centred**2).sum(1) / count[:, 0]).mean())


def _ndcg(scores: Floats, target: npt.NDArray[np.int64]) -> Floats:
    """[num_requests] NDCG@10."""
    of_target = np.take_along_axis(scores, target[:, None], 1)
    above = (scores > of_target).sum(1)
    tied = (scores == of_target).sum(1) - 1
    return metrics.ndcg(metrics.Ranks(above, tied), 10)
