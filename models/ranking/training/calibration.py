"""Calibration of probabilities, fitted on the eval split."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special

Floats = npt.NDArray[np.float64]

NUM_KNOTS = 16  # Of the isotonic curve.
_START = np.array([1.0, 0.0, 0.0, 0.0])


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A logit as a probability, given how interesting the candidate is among those of its request.

    `curve(sigmoid((slope + slope_by_interest × z) × logit + offset + offset_by_interest × z))`, where z is the
    standardised interest: what gets to the head of a page is liked more often than its logit says (Platt, 1999, with
    one more input). The curve is the identity, or the isotonic one with bends at `knots` (Zadrozny and Elkan, 2002).
    """

    slope: float = 1.0
    offset: float = 0.0
    slope_by_interest: float = 0.0
    offset_by_interest: float = 0.0
    knots: tuple[float, ...] = ()
    bends: tuple[float, ...] = ()  # Change of the curve's slope at each knot.
    level: float = 0.0  # Of the curve before its first knot.

    def logits(self, logits: Any, interest: Any = 0.0) -> Any:
        """What the sigmoid is of; arrays and tensors alike."""
        slope = self.slope + self.slope_by_interest * interest
        return slope * logits + self.offset + self.offset_by_interest * interest

    def __call__(self, logits: Floats, interest: Floats | float = 0.0) -> Floats:
        """[...] probabilities."""
        return self._curve(scipy.special.expit(self.logits(logits, interest)))

    def _curve(self, probabilities: Floats) -> Floats:
        if not self.knots:
            return probabilities
        beyond = np.maximum(probabilities[..., None] - np.array(self.knots), 0)
        return self.level + beyond @ np.array(self.bends)


def fit_calibration(
    logits: Floats, happened: Floats, interest: Floats, groups: npt.NDArray[np.int64], weights: Floats
) -> Calibration:
    """The most likely calibration; isotonic where that tells more of users whom it was not fitted to.

    Args:
        logits: [num_events] float64.
        happened: [num_events] float64, 0 or 1.
        interest: [num_events] float64, standardised within a request.
        groups: [num_events] int64, whose event it is: one user is never fitted to and judged by.
        weights: [num_events] how much each counts.
    """
    given = _Given(logits, happened, interest, weights)
    if not len(happened) or not 0 < happened.mean() < 1:  # One answer alone says nothing of the other.
        return Calibration()
    halves = [given[groups % 2 == half] for half in (0, 1)]
    if all(half.weights.sum() >= 2 * NUM_KNOTS**2 for half in halves):
        losses = np.zeros(2)
        for fitted, judged in (halves, halves[::-1]):
            platt = _platt(fitted)
            losses += [_log_loss(kind, judged) for kind in (platt, _isotonic(platt, fitted))]
        if losses[1] < losses[0]:
            return _isotonic(_platt(given), given)
    return _platt(given)


@dataclasses.dataclass(frozen=True)
class _Given:
    """What a calibration is fitted to, as `fit_calibration` takes it."""

    logits: Floats
    happened: Floats
    interest: Floats
    weights: Floats

    def __getitem__(self, which: npt.NDArray[Any]) -> _Given:
        return _Given(self.logits[which], self.happened[which], self.interest[which], self.weights[which])


def _platt(given: _Given) -> Calibration:
    inputs = np.stack([given.logits, np.ones_like(given.logits), given.logits * given.interest, given.interest], -1)
    shares = given.weights / given.weights.sum()

    def loss(parameters: Floats) -> tuple[float, Floats]:
        z, moved = inputs @ parameters, parameters - _START
        value = shares @ (np.logaddexp(0, z) - given.happened * z)
        pull = moved / given.weights.sum()  # As strong as one event.
        return value + moved @ pull, inputs.T @ (shares * (scipy.special.expit(z) - given.happened)) + 2 * pull

    slope, offset, by_interest, offset_by = scipy.optimize.minimize(loss, _START, jac=True, method="L-BFGS-B").x
    return Calibration(float(slope), float(offset), float(by_interest), float(offset_by))


def _isotonic(platt: Calibration, given: _Given) -> Calibration:
    """The monotone curve through the means of equally large parts."""
    probabilities = platt(given.logits, given.interest)
    order = np.argsort(probabilities, kind="stable")
    reached = np.cumsum(given.weights[order]) / given.weights.sum()
    cuts = np.searchsorted(reached, np.arange(1, NUM_KNOTS) / NUM_KNOTS)
    parts = [part for part in np.split(order, cuts) if len(part)]
    knots, heights = (
        np.array([np.average(column[part], weights=given.weights[part]) for part in parts])
        for column in (probabilities, given.happened)
    )
    heights = scipy.optimize.isotonic_regression(heights).x
    slopes = np.diff(heights) / np.maximum(np.diff(knots), 1e-9)
    bends = np.diff(np.concatenate([[0.0], slopes, [0.0]]))
    knots_of, bends_of = tuple(knots.tolist()), tuple(bends.tolist())
    return dataclasses.replace(platt, knots=knots_of, bends=bends_of, level=float(heights[0]))


def _log_loss(calibration: Calibration, given: _Given) -> float:
    probabilities = calibration(given.logits, given.interest)
    right = np.where(given.happened > 0, probabilities, 1 - probabilities)
    return float(-given.weights @ np.log(np.clip(right, 1e-6, 1)))
