"""Which events count as liked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from homefeed.components.artifacts.coded import Coded
from homefeed.schemas.dataset import Positive


def is_positive(positive: Positive, value: npt.NDArray[np.float32], event_type: Coded) -> npt.NDArray[np.bool_]:
    """[num_events] which events are liked.

    Args:
        positive: what counts as liked.
        value: [num_events] float32; NaN where there is none.
        event_type: [num_events] what was done.
    """
    liked = np.ones(len(value), bool)
    if positive.min_value is not None:
        liked &= value >= positive.min_value  # NaN, no value, is not positive.
    if positive.event_types is not None:
        liked &= event_type.is_in([name.encode() for name in positive.event_types])
    return liked
