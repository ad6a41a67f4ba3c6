"""Many requests' rows as one batch, and back."""

from collections.abc import Mapping, Sequence

import numpy as np

from homefeed.serving.model_server.errors import failed_precondition
from homefeed.serving.model_server.loading.servable import Array, Shapes

# Requests up to this wide fill each other up; wider ones do so only with others about as wide.
_WIDE = 1024
# A request of more values than this is a batch by itself.
_MANY = 100_000


def is_large(feeds: Mapping[str, Array]) -> bool:
    """Whether a request runs alone: its copy, and others filled up to its width, would take too much memory."""
    return sum(value.size for value in feeds.values()) > _MANY


def kind(feeds: Mapping[str, Array], shapes: Shapes, *, pads: bool) -> tuple[object, ...]:
    """What requests must have in common to be joined: whatever of one of them could change the others' answers.

    That is, for each input, its type and rank, the sizes of the axes that will not be filled up, and how wide about
    the others are; how those compare with each other, so that inputs which disagree in one request go on to disagree;
    and the sizes that the request asks for. A vector of int32 counts as such, like the `k` of a top-k: TensorFlow's
    ops take a size as int32, one for the whole batch, and a model can only take the largest.

    Args:
        feeds: the inputs of a request.
        shapes: what the signatures say of them.
        pads: whether narrower inputs are filled up.
    """
    filled_up = {name: _filled_up_axes(value, shapes.get(name)) if pads else () for name, value in feeds.items()}
    widths = sorted({feeds[name].shape[axis] for name, axes in filled_up.items() for axis in axes})
    parts: list[object] = []
    for name, value in sorted(feeds.items()):
        for axis in range(1, value.ndim):
            size = value.shape[axis]
            is_filled_up = axis in filled_up[name]
            parts.append((widths.index(size), max(0, (size - 1) // _WIDE).bit_length()) if is_filled_up else size)
        sizes = frozenset(value.tolist()) if value.ndim == 1 and value.dtype == np.int32 else None
        parts.append((name, value.dtype.str, value.ndim, sizes))
    return tuple(parts)


def _filled_up_axes(value: Array, declared: Sequence[int | None] | None) -> tuple[int, ...]:
    if declared is None or len(declared) != value.ndim:
        return ()
    return tuple(axis for axis in range(1, value.ndim) if declared[axis] is None)


def join(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """All rows of requests of one kind; what is narrower is filled up with zeros or empty strings."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: np.concatenate(_equally_wide([part[name] for part in parts])) for name in parts[0]}


def _equally_wide(values: list[Array]) -> list[Array]:
    if len({value.shape[1:] for value in values}) == 1:
        return values
    widest = np.max([value.shape[1:] for value in values], axis=0)
    padded = []
    for value in values:
        filled = np.full((len(value), *widest), b"" if value.dtype.hasobject else 0, value.dtype)
        filled[tuple(slice(size) for size in value.shape)] = value
        padded.append(filled)
    return padded


def fill_up(feeds: Mapping[str, Array], size: int) -> dict[str, Array]:
    """Filled up to a number of rows with copies of the first one."""
    return {name: _filled_up(value, size) for name, value in feeds.items()}


def _filled_up(value: Array, size: int) -> Array:
    missing = size - len(value)
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
