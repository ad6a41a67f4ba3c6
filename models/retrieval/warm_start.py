"""Training goes on from an earlier model, also where items, words and categories have come or gone since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from models.catalogue import Catalogue
from models.retrieval import two_tower
from models.retrieval.snapshot import Snapshot, named_variables
from models.sequences import Sequences

RESERVED = ("\0padding", "\0unknown")  # The first two positions of every vocabulary.


def warm_start(
    model: two_tower.TwoTower,
    snapshot: Snapshot,
    catalogue: Catalogue,
    train: Sequences,
    wordpiece: Sequence[str],
) -> dict[str, int]:
    """Copies weights into a fresh model: rows of tables by what they stand for, all else where the shape is the same.

    What the earlier model did not know keeps its fresh weights.

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
    ):
        shared = old.keys() & new.keys()
        rows |= {f"{prefix}{name}": ([*RESERVED, *old[name]], [*RESERVED, *new[name]]) for name in shared}
    kinds = [facts.request.vocabularies.get("event_type", ()), train.vocabularies.get("event_type", ())]
    rows["event_type/embeddings"] = ([*RESERVED, *kinds[0]], [*RESERVED, *kinds[1]])
    copied = {}
    towers = ((model.candidate_tower, snapshot.candidate_weights), (model.query_tower, snapshot.query_weights))
    for tower, weights in towers:
        for name, variable in named_variables(tower).items():
            if name in weights:
                copied[name] = _copy(variable, weights[name], rows.get(name))
    return copied


def _copy(
    variable: tf.Variable, earlier: npt.NDArray[np.float32], names: tuple[Sequence[str], Sequence[str]] | None
) -> int:
    if names is None:
        if variable.shape != earlier.shape:
            return 0
        variable.assign(earlier)
        return int(earlier.shape[0]) if earlier.ndim else 1
    if variable.shape[1:] != earlier.shape[1:]:
        return 0
    places: Mapping[str, int] = {name: row for row, name in enumerate(names[0][: len(earlier)])}
    value = variable.numpy()
    pairs = [(row, places[name]) for row, name in enumerate(names[1][: len(value)]) if name in places]
    to, source = np.array(pairs, np.int64).reshape(-1, 2).T
    value[to] = earlier[source]
    variable.assign(value)
    return len(pairs)


def _text(item_id: bytes) -> str:
    return item_id.decode()
