"""The items with the most events, as a catalogue of their own: from a few it is learnt what words mean."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.catalogue import Catalogue
from homefeed.models.sequences import Sequences

Rows = npt.NDArray[np.int64]


def frequent_rows(catalogue: Catalogue, num_items: int) -> Rows:
    """[up to 1 + num_items] rows, ascending: row 0, and the items with the most events of training."""
    most = np.argsort(-catalogue.train_counts[1:], kind="stable")[:num_items]
    return np.concatenate([[0], 1 + np.sort(most)])


def of_items(catalogue: Catalogue, rows: Rows) -> Catalogue:
    """The catalogue of these rows alone, in this order."""

    def chosen(of_rows: Any) -> Any:
        if isinstance(of_rows, dict):
            return {name: column[rows] for name, column in of_rows.items()}
        return of_rows[rows] if len(of_rows) else of_rows

    names = [field.name for field in dataclasses.fields(Catalogue) if field.name != "vocabularies"]
    return dataclasses.replace(catalogue, **{name: chosen(getattr(catalogue, name)) for name in names})


def with_items(sequences: Sequences, rows: Rows, num_rows: int) -> Sequences:
    """The same events, by rows of `of_items`; other items are in no catalogue."""
    place = np.zeros(num_rows, np.int32)
    place[rows] = np.arange(len(rows))
    return dataclasses.replace(sequences, item_index=place[sequences.item_index])
