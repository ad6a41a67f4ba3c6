"""Warm start of ranking: rows of an earlier model's tables are matched by item, word and category."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic

from homefeed.models.catalogue import Catalogue
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.sequences import Sequences
from homefeed.models.shared import snapshot_files
from homefeed.models.shared.table_rows import RESERVED, copy_rows

_NAMES: pydantic.TypeAdapter[Mapping[str, list[str]]] = pydantic.TypeAdapter(dict[str, list[str]])


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What a ranker has learnt, but for its text model.

    Attributes:
        weights: path of a variable → its value.
        names: path of a table → what its rows stand for.
    """

    weights: Mapping[str, npt.NDArray[np.float32]]
    names: Mapping[str, list[str]]

    @classmethod
    def of(cls, ranker: Ranker, catalogue: Catalogue, train: Sequences) -> Snapshot:
        """A ranker after training."""
        weights = {path: np.array(variable) for path, variable in _learnt(ranker).items()}
        return cls(weights, _names(ranker, catalogue, train))

    def save(self, folder: pathlib.Path) -> None:
        """Writes it into a folder."""
        snapshot_files.save(folder, _NAMES.dump_json(self.names), self.weights)

    @classmethod
    def load(cls, folder: pathlib.Path) -> Snapshot:
        """The inverse of `save`.

        Raises:
            FileNotFoundError: the folder holds none.
        """
        names, weights = snapshot_files.load(folder, "ranking")
        return cls(weights, snapshot_files.read_facts(_NAMES, names, folder))


def warm_start(ranker: Ranker, snapshot: Snapshot, catalogue: Catalogue, train: Sequences) -> dict[str, int]:
    """Copies weights into a ranker that has been called once; what the earlier one did not know keeps its values.

    Args:
        ranker: untrained.
        snapshot: the earlier ranker.
        catalogue, train: what the new one is trained with.

    Returns:
        Path of a variable → how many of its rows were copied.
    """
    names = _names(ranker, catalogue, train)
    return {
        path: copy_rows(
            variable, snapshot.weights[path], (snapshot.names[path], names[path]) if path in names else None
        )
        for path, variable in _learnt(ranker).items()
        if path in snapshot.weights and (path in names) == (path in snapshot.names)
    }


def _learnt(ranker: Ranker) -> dict[str, Any]:
    """Variables that train, by path."""
    return {variable.path: variable for variable in ranker.trainable_variables}


def _names(ranker: Ranker, catalogue: Catalogue, train: Sequences) -> dict[str, list[str]]:
    names = {
        "items/id_embedding": ["", *(item_id.decode() for item_id in catalogue.item_ids[1:])],
    }
    for prefix, features, vocabularies in (
        ("items/features", catalogue.categorical, catalogue.vocabularies),
        ("ranker/users", train.categorical, train.vocabularies),
        ("ranker/event_features", train.event_categorical, train.event_vocabularies),
        ("ranker/context", train.event_categorical, train.event_vocabularies),
    ):
        names |= {f"{prefix}/{name}_embedding": [*RESERVED, *vocabularies[name]] for name in features}
    return names
