"""The items table as it is now, as the Examples that ExampleGen would write, without a run."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from homefeed.models.catalogue import Catalogue
from homefeed.schemas.dataset import load_dataset

if TYPE_CHECKING:
    import pyarrow as pa

    from homefeed.models.retrieval.snapshot import Snapshot


def read_items(data_dir: pathlib.Path) -> pa.RecordBatch:
    """Every usable row of the items table, the last of each id, in the form of Examples.

    Raises:
        DatasetError: there is no table, a column is missing, or too many of its rows are bad.
    """
    import pyarrow as pa
    from apache_beam.io.filesystems import FileSystems

    from homefeed.components.example_gen import beam as _ingest
    from homefeed.components.example_gen import component as example_gen
    from homefeed.schemas import tables

    dataset = load_dataset(data_dir)
    source = _ingest.find_table(data_dir, dataset, "items")
    batches: list[pa.RecordBatch] = []
    reasons: list[str] = []
    for path, file_format in source.files:
        with FileSystems.open(path) as stream:
            for batch in tables.read_batches(stream, file_format, source.table, source.features):
                batches.append(batch.rows)
                reasons += [row.reason for row in batch.bad]
    num_rows = sum(batch.num_rows for batch in batches) + len(reasons)
    counted = {reason: reasons.count(reason) for reason in set(reasons)}
    counts = _ingest.TableCounts(num_rows, num_rows - len(reasons), len(reasons), 0, 0, counted)
    example_gen.check_counts({"items": counts}, dataset)
    rows = pa.Table.from_batches(batches, tables.arrow_schema(source.features)).combine_chunks().to_batches()[0]
    return example_gen.list_rows(example_gen.last_of_each(rows, "item_id"))


def catalogue_for(snapshot: Snapshot, data_dir: pathlib.Path) -> Catalogue:
    """The current items table, encoded as the trained model knows it.

    Text is tokenised with the model's vocabulary. Categories that are new to the model follow those that it
    knows, so that requests can filter by them; `train_counts` are those of the model's training.
    """
    from homefeed.components.transform import component as transform

    facts = snapshot.facts
    features = load_dataset(data_dir).features("items")
    items = read_items(data_dir)
    config = transform.Config(
        item_tokens=facts.item_tokens, max_categories=max([1, *(width for width in facts.widths.values())])
    )
    counts: Mapping[bytes, int] = dict(zip(snapshot.item_ids, snapshot.train_counts.tolist(), strict=True))
    vocabularies = transform.extended_vocabularies(items, features, facts.vocabularies)
    return transform.build_catalogue(items, features, counts, list(facts.wordpiece), config, vocabularies)
