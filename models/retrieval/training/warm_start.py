"""Warm start of retrieval: rows of an earlier model's tables are matched by item, word and category."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from homefeed.models.catalogue import Catalogue
from homefeed.models.retrieval.snapshot import Snapshot, named_variables
from homefeed.models.retrieval.towers import two_tower
from homefeed.models.sequences import Sequences
from homefeed.models.shared.table_rows import RESERVED, copy_rows


def warm_start(
    model: two_tower.TwoTower,
    snapshot: Snapshot,
    catalogue: Catalogue,
    train: Sequences,
    wordpiece: Sequence[str],
) -> dict[str, int]:
    """Copies weights into a fresh model: rows of tables by what they stand for, all else where the shape is the same.

    What the earlier model did not know keeps its fresh weights, and so does the projection of text vectors: those are
    another text model's.

    Args:
        model: built, untrained.
        snapshot: the earlier model.
        catalogue, train, wordpiece: what the new model is trained with.

    Returns:
        Weight name → how many of its rows were copied.
    """
    facts = snapshot.facts
    trained = np.flatnonzero(catalogue.train_counts[1:]) + 1
    ids = ["", *map(_text, snapshot.item_ids)], ["", *map(_text, catalogue.item_ids[trained])]
    rows = {"ids": ids, "id_bias": ids, "tokens": (list(facts.wordpiece), list(wordpiece))}
    for prefix, old, new in (
        ("features/", facts.vocabularies, catalogue.vocabularies),
        ("user/", facts.request.vocabularies, train.vocabularies),
        ("event/", facts.request.event_vocabularies, train.event_vocabularies),
        ("context/", facts.request.event_vocabularies, train.event_vocabularies),
    ):
        shared = old.keys() & new.keys()
        rows |= {f"{prefix}{name}": ([*RESERVED, *old[name]], [*RESERVED, *new[name]]) for name in shared}
    copied = {}
    towers = ((model.candidate_tower, snapshot.candidate_weights), (model.query_tower, snapshot.query_weights))
    for tower, weights in towers:
        for name, variable in named_variables(tower).items():
            if name in weights and name != "text_kernel":
                copied[name] = copy_rows(variable, weights[name], rows.get(name))
    return copied


def _text(item_id: bytes) -> str:
    return item_id.decode()
