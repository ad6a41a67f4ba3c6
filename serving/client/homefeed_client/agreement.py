"""What the inputs of a recommender's signature have to agree on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

OF_RECOMMENDERS = frozenset({"history", "k", "item_token_ids"})
"""A signature of a recommender takes one of these, and in every input it has a row for each request."""


def disagreements(arrays: Mapping[str, np.ndarray[Any, Any]]) -> list[str]:
    """What does not go together, one sentence each.

    Args:
        arrays: input → [batch, …].
    """
    problems = _rows({name: len(array) for name, array in sorted(arrays.items()) if array.ndim})
    for name, array in arrays.items():
        of = "history" if name.startswith("history_") else "candidates" if name == "retrieval_scores" else name
        if of in arrays and array.shape[1:] != arrays[of].shape[1:]:
            expected = list(arrays[of].shape)
            problems.append(f"`{name}`: shape {list(array.shape)} given, but that of `{of}`, {expected}, expected.")
    return problems


def _rows(num_rows: Mapping[str, int]) -> list[str]:
    problems = [f"`{name}` has no rows: at least one expected." for name, number in num_rows.items() if not number]
    if len(set(num_rows.values())) > 1:
        listed = ", ".join(f"`{name}` {number}" for name, number in num_rows.items())
        problems.append(f"the inputs have different numbers of rows, and one a request is expected: {listed}.")
    return problems
