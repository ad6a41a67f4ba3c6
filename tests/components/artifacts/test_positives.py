import numpy as np
import pytest

from homefeed.components.artifacts.coded import Coded
from homefeed.components.artifacts.positives import is_positive
from homefeed.schemas.dataset import Positive


@pytest.mark.parametrize(
    ("positive", "expected"),
    [
        (Positive(), [True, True, True, True]),
        (Positive(min_value=3), [False, True, True, False]),  # No value is not enough.
        (Positive(event_types=["buy"]), [True, False, True, False]),
        (Positive(min_value=3, event_types=["buy"]), [False, False, True, False]),
    ],
)
def test_liked_is_what_is_high_enough_and_of_the_right_type(positive: Positive, expected: list[bool]) -> None:
    value = np.array([2.5, 3, 4, np.nan], np.float32)
    event_type = Coded.of([b"buy", b"view", b"buy", b""])
    assert is_positive(positive, value, event_type).tolist() == expected
