"""Users whose figures others have been asked for."""

import numpy as np

PLANNED = 2_000


def arms() -> tuple[np.ndarray, np.ndarray]:
    """[num_users, 4] float64 of both: clicks and cards, and the same of before; a fifth of the users are new."""
    rng = np.random.default_rng(11)

    def arm(size: int, lift: float) -> np.ndarray:
        taste = rng.beta(2, 8, size)
        cards, earlier = 1 + rng.poisson(9, size), rng.poisson(20, size) * (rng.random(size) < 0.8)
        clicks = rng.binomial(cards, np.minimum(taste * (1 + lift), 1.0))
        return np.stack([clicks, cards, rng.binomial(earlier, taste), earlier], axis=1).astype(np.float64)

    return arm(700, 0.0), arm(900, 0.3)


def signs() -> np.ndarray:
    """[500] whether a user took more of the second list."""
    return (np.random.default_rng(3).random(500) < 0.58).astype(np.float64)
