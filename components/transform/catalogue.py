"""The items table as the Catalogue that models read."""

from __future__ import annotations

import types
from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.coded import Coded
from homefeed.components.transform.arrays import PAD, encode, of_kinds, vocabulary, with_row_0
from homefeed.components.transform.text import item_texts
from homefeed.models import behaviour_text
from homefeed.models.catalogue import ALWAYS, NEVER, Catalogue
from homefeed.schemas.columns import Feature


def build_catalogue(
    items: pa.RecordBatch,
    features: Mapping[str, Feature],
    train_counts: Mapping[bytes, int],
    wordpiece: list[str],
    *,
    num_tokens: int,
    max_categories: int,
    min_count: int = 1,
    vocabularies: Mapping[str, tuple[str, ...]] = types.MappingProxyType({}),
    denied: Collection[bytes] = (),
) -> Catalogue:
    """The items table as arrays.

    Args:
        items: one row an item, as ExampleGen wrote it.
        features: the table's columns.
        train_counts: item → its training interactions.
        wordpiece: the vocabulary of behaviour text.
        num_tokens: kept of an item's text.
        max_categories: as of `encode`.
        min_count: as of `encode`.
        vocabularies: of features that are not to be learnt anew.
        denied: ids of items that nobody may be shown: no time makes them available.
    """
    ids = example_io.single(items, "item_id", b"")
    encoded = encode(items, features, vocabularies, max_categories, min_count).behind_row_0()
    token_ids = behaviour_text.tokenize(item_texts(items, features), wordpiece, num_tokens)
    return Catalogue(
        item_ids=with_row_0(ids, b""),
        titles=with_row_0(example_io.single(items, "title", b""), b""),
        token_ids=with_row_0(token_ids, PAD),
        categorical=encoded.categorical,
        numeric=encoded.numeric,
        vocabularies=encoded.vocabularies,
        train_counts=with_row_0(np.array([train_counts.get(item_id, 0) for item_id in ids], np.int64), 0),
        available_from=_available_from(items, ids, denied),
    )


def learnt_rows(catalogue: Catalogue, learn_denied: bool) -> dict[bytes, int]:
    """Item → row of the catalogue, of those whose events are learnt from.

    Args:
        catalogue: with its row 0.
        learn_denied: whether those are, too, that nobody may be shown.
    """
    denied = np.zeros(catalogue.num_rows, bool)
    if len(catalogue.available_from) and not learn_denied:
        denied = catalogue.available_from == NEVER
    return {item_id: row for row, item_id in enumerate(catalogue.item_ids) if row and not denied[row]}


def _available_from(
    items: pa.RecordBatch, ids: npt.NDArray[np.object_], denied: Collection[bytes]
) -> npt.NDArray[np.int64]:
    """As in Catalogue."""
    times = example_io.single(items, "available_from", ALWAYS).astype(np.int64)
    times[[item_id in denied for item_id in ids]] = NEVER
    return with_row_0(times, ALWAYS) if (times != ALWAYS).any() else np.empty(0, np.int64)


def extended_vocabularies(
    items: pa.RecordBatch, features: Mapping[str, Feature], known: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """The known vocabularies of item features, each followed by what the table has beyond it."""
    extended = dict(known)
    for name in of_kinds(features, "category", "categories").keys() & known.keys():
        found = example_io.ragged(items, name)
        values = vocabulary(Coded.of(found[0]).counts()) if found else ()
        old = set(known[name])
        extended[name] = (*known[name], *(value for value in values if value not in old))
    return extended
