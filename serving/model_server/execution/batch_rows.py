"""Many requests' rows as one batch, and back."""

from collections.abc import Mapping, Sequence

import numpy as np

from homefeed.serving.model_server.errors import failed_precondition
from homefeed.serving.model_server.loading.servable import Array, Shapes

# Requests up to this wide fill each other up; wider ones do so only with others about as wide.
_WIDE = 1024


def kind(feeds: Mapping[str, Array], shapes: Shapes, *, pads: bool) -> tuple[object, ...]:
    """What requests must have in common to be joined: whatever of one of them could change the others' answers.

    That is, for each input, its type and rank, the sizes of the axes that will not be filled up, and how wide about
    the others are; which of those are equally wide, so that inputs which disagree in one request go on to disagree;
    and the sizes that the request asks for. A vector of int32 counts as such, like the `k` of a top-k: TensorFlow's
    ops take a size as int32, one for the whole batch, and a model can only take the largest.

    Args:
        feeds: the inputs of a request.
        shapes: what the signatures say of them.
        pads: whether narrower inputs are filled up.
    """
    widths: dict[int, int] = {}
    parts: list[object] = []
    for name, value in sorted(feeds.items()):
        declared = shapes.get(name) if pads else None
        is_open = declared is not None and len(declared) == value.ndim
        for axis in range(1, value.ndim):
            size = value.shape[axis]
            if is_open and declared is not None and declared[axis] is None:
                parts.append((widths.setdefault(size, len(widths)), max(0, (size - 1) // _WIDE).bit_length()))
            else:
                parts.append(size)
        sizes = frozenset(value.tolist()) if value.ndim == 1 and value.dtype == np.int32 else None
        parts.append((name, value.dtype.str, value.ndim, sizes))
    return tuple(parts)


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
