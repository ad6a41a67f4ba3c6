"""Many requests' rows as one batch, and back."""

import numpy as np

from homefeed.serving.model_server.errors import failed_precondition
from homefeed.serving.model_server.execution.batching_parameters import Parameters
from homefeed.serving.model_server.loading.servable import Array


def join(name: str, parts: list[Array], parameters: Parameters) -> Array:
    """All rows of an input.

    Raises:
        StatusError: FAILED_PRECONDITION, their shapes do not fit together.
    """
    if len(parts) == 1:
        return parts[0]
    if len({part.shape[1:] for part in parts}) > 1:
        if not parameters.pad_variable_length_inputs:
            raise failed_precondition(
                f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off. "
                "Set pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal "
                "dimensions starting with the first dim."
            )
        parts = _equally_long(name, parts)
    return np.concatenate(parts)


def _equally_long(name: str, parts: list[Array]) -> list[Array]:
    if len({part.ndim for part in parts}) > 1:
        raise failed_precondition(f"Tensors with name '{name}' from different tasks should have the same rank.")
    longest = np.max([part.shape[1:] for part in parts], axis=0)
    padded = []
    for part in parts:
        filled = np.full((len(part), *longest), b"" if part.dtype.hasobject else 0, part.dtype)
        filled[tuple(slice(size) for size in part.shape)] = part
        padded.append(filled)
    return padded


def fill_up(value: Array, parameters: Parameters) -> Array:
    """Filled up to an allowed size with copies of its first row."""
    missing = parameters.padded_size(len(value)) - len(value)
    if missing <= 0 or not len(value):
        return value
    return np.concatenate([value, np.repeat(value[:1], missing, axis=0)])


def check_outputs(outputs: list[Array], size: int) -> None:
    """Raises FAILED_PRECONDITION when an output does not have one row for each of the batch."""
    for output in outputs:
        if not output.ndim:
            raise failed_precondition("Batched output tensor has 0 dimensions")
        if len(output) != size:
            raise failed_precondition(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the "
                f"input tensors: {len(output)} vs. {size}"
            )
