"""Every user as a request, as of after the last event: what profiles hold and what BulkInferrer asks about."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from homefeed.components.artifacts import example_io, transformed
from homefeed.components.artifacts.table_rows import rows_by_id
from homefeed.components.artifacts.types import ALL, SPLITS, Examples, TransformGraph
from homefeed.models.catalogue import Catalogue
from homefeed.models.requests import Request, requests_from_sequences


def user_requests(
    graph: TransformGraph, examples: Examples, users: Examples, catalogue: Catalogue
) -> dict[str, Request]:
    """User id → request: everybody in the users table or the interactions, with all that they did.

    Args:
        graph: vocabularies of the examples.
        examples: the transformed examples.
        users: the users table as ExampleGen wrote it.
        catalogue: names the items.
    """
    features = rows_by_id(example_io.read_split(users, ALL), "user_id")
    requests = {user_id: Request(user_id, features=values) for user_id, values in features.items()}
    for split in SPLITS:  # A later split repeats the events of those before it.
        for request in _histories(graph, examples, catalogue, split):
            known = features.get(request.user_id, {})
            requests[request.user_id] = dataclasses.replace(request, features=known, timestamp=0)
    return requests


def _histories(graph: TransformGraph, examples: Examples, catalogue: Catalogue, split: str) -> Iterator[Request]:
    sequences = transformed.load_sequences(graph, examples, split)
    rows = np.arange(sequences.num_users, dtype=np.int64)
    return requests_from_sequences(sequences, catalogue, rows, sequences.row_splits[1:])
