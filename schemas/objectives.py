"""What lists are sorted for: what each outcome of an interaction is worth."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from homefeed.schemas.words import near

Values = Mapping[str, float | str]
"""Outcome of an interaction → what it is worth: a number, or the numeric column of items that says so.

An outcome is an event type, or `like` or `dislike` as `positive` tells them apart. `novelty` is what each bit of
surprise of an item is worth, whatever comes of it.
"""

LIKE, DISLIKE, NOVELTY = "like", "dislike", "novelty"
INTERACTIONS, DECLARED = "interactions", "declared"
OBJECTIVES: dict[str, Values] = {
    INTERACTIONS: {},
    "likes": {LIKE: 1.0},
    "clicks": {"click": 1.0},
    "purchases": {"purchase": 1.0},
}
"""Name of an objective → its values; `interactions` asks for what comes next, whatever it is worth."""


def read_objective(said: Any) -> Any:
    """What `dataset.yaml` says of an objective: a name, or the worth of outcomes.

    Raises:
        ValueError: it is neither.
    """
    if said is None or (isinstance(said, str) and said in OBJECTIVES):
        return said
    names = ", ".join(OBJECTIVES)
    if not isinstance(said, Mapping) or not said:
        raise ValueError(f"expected one of {names}, or a mapping such as {{purchase: 5, dislike: -3}}")
    return {outcome: _worth(outcome, value) for outcome, value in said.items()}


def _worth(outcome: Any, value: Any) -> float | str:
    """A number, or the name of a column; in YAML both are text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        if isinstance(outcome, str) and isinstance(value, str):
            return value
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{outcome!r} is worth {value!r}; expected a number, or the name of a column of items")
    return number


def objective_faults(
    values: Values, is_liking_declared: bool, types: Collection[str] | None, columns: Collection[str]
) -> Iterator[str]:
    """What an objective names and the data are not declared to have.

    Args:
        values: of the objective.
        is_liking_declared: whether `positive` says what is liked.
        types: of events; None: any.
        columns: of items that hold numbers.
    """
    for outcome, value in values.items():
        if outcome in (LIKE, DISLIKE):
            if not is_liking_declared:
                yield f"objective: `{outcome}` needs `positive`, which says what is liked"
        elif outcome == NOVELTY:
            if isinstance(value, str):
                yield f"objective: `{NOVELTY}` is worth {value!r}; expected a number for each bit"
                continue
        elif types is not None and outcome not in types:
            yield f"objective: {outcome!r} is no event type{near(outcome, types)}"
        if isinstance(value, str) and value not in columns:
            yield f"objective: {value!r} is no column of items of kind 'number'{near(value, columns)}"
