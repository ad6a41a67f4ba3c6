"""What training leaves beside a SavedModel for later trainings: facts as JSON, weights as NumPy arrays."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pydantic

from homefeed.models.errors import ModelError

ARRAYS, FACTS = "snapshot.npz", "snapshot.json"
Arrays = dict[str, npt.NDArray[Any]]
Facts = TypeVar("Facts")


def save(folder: pathlib.Path, facts: bytes, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Writes two files into a folder, which may be new."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FACTS).write_bytes(facts)
    np.savez(folder / ARRAYS, **arrays)


def load(folder: pathlib.Path, model: str) -> tuple[bytes, Arrays]:
    """The inverse of `save`.

    Args:
        folder: where to read.
        model: `retrieval` or `ranking`, for the message.

    Raises:
        FileNotFoundError: the folder holds none.
    """
    if not (folder / FACTS).is_file():
        raise FileNotFoundError(
            f"{folder} holds no {FACTS}: it is no snapshot of a {model} model, which "
            f"{model.capitalize()}Trainer writes beside the SavedModel"
        )
    with np.load(folder / ARRAYS) as arrays:
        return (folder / FACTS).read_bytes(), {name: arrays[name] for name in arrays.files}


def read_facts(kind: pydantic.TypeAdapter[Facts], facts: bytes, folder: pathlib.Path) -> Facts:
    """Facts of one kind out of their JSON.

    Raises:
        ModelError: they are those of another version of homefeed.
    """
    try:
        return kind.validate_json(facts)
    except pydantic.ValidationError as error:
        lacking = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
        raise ModelError(
            f"The model in {folder} was written by another version of homefeed ({lacking} is not as this one "
            "writes it): train it again."
        ) from error


def prefixed(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The same arrays with longer names, so that several groups fit into one file."""
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def with_prefix(prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    """The inverse of `prefixed`: the arrays of one group."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
