"""Which events count as liked."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.schemas.dataset import Positive


def is_positive(
    positive: Positive, value: npt.NDArray[np.float32], event_type: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """[num_events] which events are liked.

    Args:
        positive: what counts as liked.
        value: [num_events] float32; NaN where there is none.
        event_type: [num_events] object (bytes).
    """
    liked = np.ones(len(value), bool)
    if positive.min_value is not None:
        liked &= value >= positive.min_value  # NaN, no value, is not positive.
    if positive.event_types is not None:
        wanted = {name.encode() for name in positive.event_types}
        liked &= np.array([kind in wanted for kind in event_type], bool)
    return liked
