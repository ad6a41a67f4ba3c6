"""Writes `others.json`: what gbstats 0.8.0 and ville 0.1.0 say of the same users.

    pip install gbstats==0.8.0 ville==0.1.0   # In an environment of their own: gbstats brings Jupyter's packages.
    python tests/models/sequential/ask_others.py

The users are those of `users.py`. This file is no test and needs nothing of ours.
"""

import json
import pathlib
import sys
from typing import Any

import numpy as np

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))


def main() -> None:
    import users  # Beside this file.
    from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest
    from gbstats.models.statistics import (
        RatioStatistic,
        RegressionAdjustedStatistic,
        SampleMeanStatistic,
        compute_theta,
    )
    from ville.means import AsymptoticCS
    from ville.proportions import BernoulliTest

    def mean(values: np.ndarray) -> SampleMeanStatistic:
        return SampleMeanStatistic(len(values), float(values.sum()), float((values**2).sum()))

    def ratio(rows: np.ndarray) -> RatioStatistic:
        y, n = rows[:, 0], rows[:, 1]
        return RatioStatistic(len(rows), mean(y), mean(n), float((y * n).sum()))

    def adjusted(rows: np.ndarray, theta: float) -> RegressionAdjustedStatistic:
        y, x = rows[:, 0], rows[:, 2]
        return RegressionAdjustedStatistic(len(rows), mean(y), mean(x), float((y * x).sum()), theta)

    def told(a: Any, b: Any, planned: int) -> dict[str, float]:
        test = SequentialTwoSidedTTest(
            a, b, SequentialConfig(difference_type="absolute", sequential_tuning_parameter=planned)
        )
        low, high = test.confidence_interval
        facts = (test.point_estimate, test.variance, (high - low) / 2, test.p_value)
        return dict(zip(("difference", "variance", "half_width", "p_value"), map(float, facts), strict=True))

    control, treatment = users.arms()
    theta = compute_theta(adjusted(control, 0.0), adjusted(treatment, 0.0))
    found = {
        "ratio": told(ratio(control), ratio(treatment), users.PLANNED),
        "adjusted": told(adjusted(control, theta), adjusted(treatment, theta), users.PLANNED),
        "theta": float(theta),
    }
    cs = AsymptoticCS(t_opt=500).fit(control[:, 0])
    found["one_mean"] = {"rho": float(cs.rho_), "half_width": float((cs.upper_[-1] - cs.lower_[-1]) / 2)}
    found["signs"] = float(BernoulliTest(0.5).fit(users.signs()).log_e_values_[-1])
    (HERE / "others.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
