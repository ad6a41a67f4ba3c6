"""Do experiments find what is there, and nothing else? Simulated users, looked at a hundred times.

    python -m benchmarks.experiments [--runs 2000] [--keep]

Users come one after the other and each opens several pages over the time that is left; how readily one clicks differs
from user to user, so that the pages of one are alike. `a_a.*` is the share of runs without any difference in which at
least one of a hundred looks finds one: with our confidence sequence, with a z-test of users, and with a z-test that
takes each page for a user of its own. `found.*` is the share of runs that find a click rate higher by a fifth.
`sample_ratio.*` splits 51:49 where 50:50 was wanted. `cuped.*` knows what the same users did before. `--keep` writes
`results.json`.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks import results
from homefeed.models.sequential import counts
from homefeed.models.sequential.confidence import ALPHA, half_width
from homefeed.models.sequential.ratios import Sums, effect

LOOKS = 100
USERS = 4_000
CLICK_RATE = 0.1
Z = 1.96


class Looks(NamedTuple):
    """What was found at each look, [LOOKS] bool."""

    sequence: npt.NDArray[np.bool_]
    users: npt.NDArray[np.bool_]
    pages: npt.NDArray[np.bool_]


def tastes(rng: np.random.Generator, num_users: int) -> npt.NDArray[np.float64]:
    """[num_users] how readily each clicks: CLICK_RATE on average."""
    return rng.beta(2 * CLICK_RATE, 2 * (1 - CLICK_RATE), num_users)


def histories(
    rng: np.random.Generator, taste: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """[num_users, LOOKS] clicks and pages of each user up to each look."""
    begins = np.sort(rng.integers(0, LOOKS, len(taste)))[:, None]
    rate = np.where(np.arange(LOOKS) >= begins, 4 / LOOKS, 0.0)
    pages = rng.poisson(rate)
    np.put_along_axis(pages, begins, 1, axis=1)  # Who comes opens a page.
    clicks = rng.binomial(pages, taste[:, None])
    return clicks.cumsum(axis=1), pages.cumsum(axis=1)


def look(rng: np.random.Generator, lift: float = 0.0, num_users: int = USERS) -> Looks:
    """One experiment.

    Args:
        rng: of the run.
        lift: of the click rate of the second arm, as a share of it.
        num_users: of both arms.
    """
    arm = rng.integers(0, 2, num_users)
    clicks, pages = histories(rng, np.minimum(tastes(rng, num_users) * (1 + lift * arm), 1.0))
    found = [_at(clicks[:, at], pages[:, at], arm, num_users) for at in range(LOOKS)]
    return Looks(*map(np.array, zip(*found, strict=True)))


def _at(
    clicks: npt.NDArray[np.int64], pages: npt.NDArray[np.int64], arm: npt.NDArray[np.int64], planned: int
) -> tuple[bool, bool, bool]:
    here = pages > 0
    rows = np.stack([clicks, pages], axis=1)
    control, treatment = (Sums.of(rows[here & (arm == which)]) for which in (0, 1))
    seen = effect(control, treatment)
    if not seen.variance:
        return False, False, False
    distance = abs(seen.difference)
    rate = clicks.sum() / pages.sum()
    by_page = rate * (1 - rate) * (1 / control.total[1] + 1 / treatment.total[1])
    return (
        distance > half_width(seen.variance, seen.num_users, planned),
        distance > Z * seen.variance**0.5,
        distance > Z * by_page**0.5,
    )


def rates(runs: int, lift: float = 0.0, num_users: int = USERS) -> dict[str, float]:
    """Share of runs in which any look, or the last one, found a difference."""
    found = [look(np.random.default_rng([run, int(lift * 100)]), lift, num_users) for run in range(runs)]
    any_look = {
        f"{name}_any_look": float(np.mean([getattr(one, name).any() for one in found])) for name in Looks._fields
    }
    return {**any_look, "users_last_look": float(np.mean([one.users[-1] for one in found]))}


def sample_ratio(runs: int, share: float, num_users: int = 100_000) -> tuple[float, float]:
    """Share of runs in which the sequential test finds a wrong split, and the median of users that it took."""
    checks = np.arange(1_000, num_users + 1, 1_000)
    limit, found = np.log(1 / counts.SAMPLE_RATIO_ALPHA), []
    for run in range(runs):
        rng = np.random.default_rng([run, 51])
        first = rng.binomial(1_000, share, len(checks)).cumsum()
        passed = counts.log_evidence(np.stack([first, checks - first], axis=1), [1, 1]) > limit
        found.append(checks[passed.argmax()] if passed.any() else np.inf)
    return float(np.isfinite(found).mean()), float(np.median(found))


def cuped(runs: int) -> dict[str, float]:
    """What the weeks before save: share of the variance, and of users who are new the share that has no past."""
    saved, widths = [], []
    for run in range(runs):
        rng = np.random.default_rng([run, 7])
        taste, arm = tastes(rng, USERS), rng.integers(0, 2, USERS)
        pages, earlier = 1 + rng.poisson(4, USERS), rng.poisson(20, USERS) * (rng.random(USERS) < 0.7)
        rows = np.stack([rng.binomial(pages, taste), pages, rng.binomial(earlier, taste), earlier], axis=1)
        with_past = effect(Sums.of(rows[arm == 0]), Sums.of(rows[arm == 1]))
        without = effect(Sums.of(rows[arm == 0, :2]), Sums.of(rows[arm == 1, :2]))
        saved.append(with_past.saved)
        widths.append((without.difference, with_past.difference))
    spread = np.std(widths, axis=0)
    return {
        "variance_saved": float(np.mean(saved)),
        "variance_saved_in_truth": float(1 - (spread[1] / spread[0]) ** 2),
    }


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    figures = {f"a_a.{name}": value for name, value in rates(arguments.runs).items()}
    figures |= {
        f"found.lift_20%.{name}": value
        for name, value in rates(arguments.runs // 4, 0.2).items()
        if name in ("sequence_any_look", "users_last_look")
    }
    wrong, users = sample_ratio(arguments.runs, 0.51)
    figures |= {"sample_ratio.51_49_found": wrong, "sample_ratio.51_49_median_users": users}
    figures |= {"sample_ratio.50_50_found": sample_ratio(arguments.runs, 0.5)[0]}
    figures |= {f"cuped.{name}": value for name, value in cuped(arguments.runs).items()}
    results.tell("experiments", figures | {"alpha": ALPHA, "runs": arguments.runs}, keep=arguments.keep)


if __name__ == "__main__":
    main()
