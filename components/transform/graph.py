"""What all shards are encoded by: vocabularies, WordPiece and catalogue."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import TransformGraph
from homefeed.components.transform import learnt, text
from homefeed.components.transform.catalogue import build_catalogue, learnt_rows
from homefeed.components.transform.counts import Counts
from homefeed.schemas.dataset import Dataset


def write_graph(
    graph: TransformGraph,
    counts: Counts,
    items: pa.RecordBatch,
    dataset: Dataset,
    *,
    wordpiece_size: int,
    bert_preset: str,
    item_tokens: int,
    max_categories: int,
    min_count: int,
    denied: Collection[bytes],
    learn_denied: bool,
) -> list[str]:
    """Writes it; says what it is.

    Args:
        graph: gets it.
        counts: of all shards, as of `learnt.count`.
        items: one row an item, as ExampleGen wrote it.
        dataset: what is declared.
        wordpiece_size: the most tokens.
        bert_preset: whose tokens are taken instead; "": nobody's.
        item_tokens: kept of an item's text.
        max_categories: kept of a feature that has several.
        min_count: a category seen less often gets no place in its vocabulary.
        denied: ids of items that nobody may be shown.
        learn_denied: whether events on these are learnt from.
    """
    features, unlearnt = dataset.features("items"), frozenset[bytes]() if learn_denied else frozenset(denied)
    texts = text.item_texts(items, features) + learnt.training_queries(counts)
    wordpiece = text.learn_wordpiece(texts, wordpiece_size, bert_preset)
    trained = {item_id: count for item_id, count in counts[learnt.TRAINED_ITEMS].items() if item_id not in unlearnt}
    catalogue = build_catalogue(
        items,
        features,
        trained,
        wordpiece,
        num_tokens=item_tokens,
        max_categories=max_categories,
        min_count=min_count,
        denied=denied,
    )
    transformed.save_catalogue(graph, catalogue)
    transformed.save_wordpiece(graph, wordpiece)
    transformed.save_bert_preset(graph, bert_preset)
    transformed.save_request(graph, learnt.request_fields(counts, dataset, min_count))
    known = learnt_rows(catalogue, learn_denied).keys() | unlearnt
    unknown = sum(count for item_id, count in counts[learnt.ITEMS].items() if item_id not in known)
    said = [f"{catalogue.num_rows - 1:,} items", f"{len(wordpiece):,} word pieces"]
    return said + ([f"{unknown:,} events on items outside the catalogue"] if unknown else [])
