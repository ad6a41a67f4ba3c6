"""The catalogue as it is now, for a model that was trained on an earlier one."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

from homefeed.components.example_gen.items_table import read_items
from homefeed.components.transform.catalogue import build_catalogue, extended_vocabularies
from homefeed.components.transform.denials import denied_items
from homefeed.models.catalogue import Catalogue
from homefeed.models.retrieval.snapshot import Snapshot
from homefeed.schemas.dataset import load_dataset


def catalogue_for(snapshot: Snapshot, data_dir: pathlib.Path) -> Catalogue:
    """The current items table, encoded as the trained model knows it.

    Text is tokenised with the model's vocabulary. Categories that are new to the model follow those that it
    knows, so that requests can filter by them; `train_counts` are those of the model's training. What the data's
    rules deny is never found.
    """
    facts = snapshot.facts
    dataset = load_dataset(data_dir)
    features, items = dataset.features("items"), read_items(data_dir)
    counts: Mapping[bytes, int] = dict(zip(snapshot.item_ids, snapshot.train_counts.tolist(), strict=True))
    return build_catalogue(
        items,
        features,
        counts,
        list(facts.wordpiece),
        num_tokens=facts.item_tokens,
        max_categories=max([1, *facts.widths.values()]),
        vocabularies=extended_vocabularies(items, features, facts.vocabularies),
        denied=denied_items(data_dir, dataset, items),
    )
