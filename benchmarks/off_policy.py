"""What a new policy would be worth, from pages of another one: how far estimates are off, and intervals hold.

    python -m benchmarks.off_policy [--runs N]

20,000 pages of 2,000 simulated users, each page with one slot and 20 candidates, of which an exploring policy drew
one. Two new policies are judged: one that draws softly by better scores, and one that shows the best. The truth is
known, since the simulation knows what each card's click rate is. Beside the estimates stands the naive one: the click
rate of cards as far as the new policy would show them, without propensities (replay as if served evenly).
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import results
from homefeed.models.off_policy import estimators, slots
from homefeed.models.off_policy.estimators import Estimate

Floats = npt.NDArray[np.float64]
NUM_PARTS = 20  # Of the scores, for the model of rewards.
POLICIES = {"soft": 1.0, "greedy": 0.0}


@dataclasses.dataclass(frozen=True)
class Log:
    """Arrays are [num_pages, …].

    Attributes:
        users: whose page it is.
        rates: [num_pages, num_candidates] true click rates.
        scores: [num_pages, num_candidates] of the new model.
        chosen: the candidate that was served.
        propensity: of it.
        clicked: 0 or 1.
    """

    users: npt.NDArray[np.int64]
    rates: Floats
    scores: Floats
    chosen: npt.NDArray[np.int64]
    propensity: Floats
    clicked: Floats


def simulate(
    rng: np.random.Generator, num_pages: int = 20_000, num_users: int = 2_000, num_candidates: int = 20
) -> Log:
    """Users differ in what they like and in how much they click at all, so that pages of one user hang together."""
    users = rng.integers(num_users, size=num_pages)
    shape = num_pages, num_candidates
    appeal = rng.normal(size=shape)
    rates = 1 / (1 + np.exp(2.4 - 0.8 * appeal - 0.5 * rng.normal(size=num_users)[users][:, None]))
    served = 0.4 * appeal + 0.8 * rng.normal(size=shape)  # The served model knows less, and draws by what it knows.
    drawn = np.exp(served) / np.exp(served).sum(axis=1, keepdims=True)
    drawn = 0.9 * drawn + 0.1 / num_candidates  # No candidate is without a chance.
    chosen = (rng.random(num_pages)[:, None] > np.cumsum(drawn, axis=1)[:, :-1]).sum(axis=1)
    rows = np.arange(num_pages)
    clicked = (rng.random(num_pages) < rates[rows, chosen]).astype(np.float64)
    scores = 0.8 * appeal + 0.4 * rng.normal(size=shape)
    return Log(users, rates, scores, chosen, drawn[rows, chosen], clicked)


def judge(log: Log, temperature: float) -> tuple[float, float, dict[str, Estimate]]:
    """The truth on these pages, the naive estimate, and the others."""
    shown = log.chosen[:, None]
    (policy,) = slots.probabilities(log.scores, shown, temperature)
    of_chosen = slots.of_shown(policy, log.chosen)
    weights = of_chosen / log.propensity
    parts = np.searchsorted(np.quantile(log.scores, np.arange(1, NUM_PARTS) / NUM_PARTS), log.scores)
    rows = np.arange(len(shown))
    of_parts, half = estimators.cross_fitted(parts[rows, log.chosen], log.clicked, log.users, NUM_PARTS)
    predicted = of_parts[half[:, None], parts]
    found = {
        "ips": estimators.ips(log.clicked, weights, log.users),
        "snips": estimators.snips(log.clicked, weights, log.users),
        "doubly_robust": estimators.doubly_robust(
            log.clicked, weights, log.users, predicted[rows, log.chosen], (policy * predicted).sum(axis=1)
        ),
    }
    truth = float((policy * log.rates).sum(axis=1).mean())
    return truth, float(of_chosen @ log.clicked / of_chosen.sum()), found


def measure(num_runs: int, seed: int = 0, **sizes: int) -> dict[str, float]:
    """Mean relative errors, how often intervals hold the truth, and effective sample sizes.

    The truth is that of the world that all runs are drawn from: the mean over all of them.
    """
    judged: dict[str, list[tuple[float, float, dict[str, Estimate]]]] = {name: [] for name in POLICIES}
    for run in range(num_runs):
        log = simulate(np.random.default_rng((seed, run)), **sizes)
        for name, temperature in POLICIES.items():
            judged[name].append(judge(log, temperature))
    figures: dict[str, float] = {}
    for name, runs in judged.items():
        truth = float(np.mean([on_pages for on_pages, _, _ in runs]))
        figures[f"{name}.truth"] = truth
        figures[f"{name}.naive.relative_error"] = _error([naive for _, naive, _ in runs], truth)
        figures[f"{name}.effective_sample_size"] = float(
            np.mean([found["snips"].effective_sample_size for _, _, found in runs])
        )
        for estimator in runs[0][2]:
            found = [one[estimator] for _, _, one in runs]
            inside = [one.interval[0] <= truth <= one.interval[1] for one in found]
            figures[f"{name}.{estimator}.relative_error"] = _error([one.value for one in found], truth)
            figures[f"{name}.{estimator}.bias"] = float(np.mean([one.value for one in found])) / truth - 1
            figures[f"{name}.{estimator}.coverage"] = float(np.mean(inside))
    return figures


def _error(values: list[float], truth: float) -> float:
    return float(np.mean(np.abs(np.array(values) / truth - 1)))


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    asked = parser.parse_args()
    figures: dict[str, Any] = measure(asked.runs)
    for name, value in figures.items():
        print(f"{name:40} {value:.4f}")
    if asked.runs == 200:
        results.merge("off_policy", {name: round(value, 4) for name, value in figures.items()})


if __name__ == "__main__":
    main()
