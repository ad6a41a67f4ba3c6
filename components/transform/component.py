"""Transform: raw ids and text to what models work on — vocabularies, the catalogue, histories, token ids."""

from __future__ import annotations

import dataclasses

from homefeed.components.artifacts import example_io, transformed
from homefeed.components.artifacts.types import ALL, SPLITS, DatasetDir, Examples, TransformGraph
from homefeed.schemas.dataset import load_dataset


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The raw examples of the three tables."""

    dataset: DatasetDir
    interactions: Examples
    items: Examples
    users: Examples


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What every trainer reads; `homefeed.components.artifacts.transformed` loads it."""

    transform_graph: TransformGraph
    examples: Examples


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of vocabularies and texts."""

    wordpiece_size: int = 8000  # The most tokens in the vocabulary of behaviour text.
    bert_preset: str = ""  # A KerasNLP preset, or a folder in KerasNLP's or Hugging Face's format: its vocabulary is
    # taken, and BehaviorPretrainer continues from its weights. "": a vocabulary and a compact BERT of our own.
    item_tokens: int = 24  # Tokens kept of an item's text.
    user_tokens: int = 16  # Tokens kept of the text of a user's features.
    query_tokens: int = 12  # Tokens kept of what a user searched for.
    max_categories: int = 8  # Values kept of a feature that has several.
    min_count: int = 1  # A category seen less often is out-of-vocabulary.


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Reads the examples, makes vocabularies and arrays of them, writes these."""
    from homefeed.components.transform import catalogue, events, sequences, text, users

    dataset = load_dataset(inputs.dataset.path)
    item_features, user_features = dataset.features("items"), dataset.features("users")
    log = events.join_splits({split: example_io.read_split(inputs.interactions, split) for split in SPLITS})
    items, people = (example_io.read_split(table, ALL) for table in (inputs.items, inputs.users))
    trained_on = users.trained_on(people, log.user_ids[log.user[log.in_train]])
    event_types = events.training_event_types(log)

    texts = text.item_texts(items, item_features)
    texts += text.user_texts(users.those(people, trained_on), user_features) + events.training_queries(log)
    wordpiece = text.learn_wordpiece(texts, event_types, config.wordpiece_size, config.bert_preset)
    user_table = users.build_users(
        people,
        trained_on,
        user_features,
        wordpiece,
        num_tokens=config.user_tokens,
        max_categories=config.max_categories,
        min_count=config.min_count,
    )
    train_item_ids = log.columns["item_id"][log.in_train]
    built = catalogue.build_catalogue(
        items,
        item_features,
        train_item_ids,
        wordpiece,
        num_tokens=config.item_tokens,
        max_categories=config.max_categories,
        min_count=config.min_count,
    )
    queries = events.tokenize_queries(log, wordpiece, config.query_tokens)

    transformed.save_catalogue(outputs.transform_graph, built)
    transformed.save_wordpiece(outputs.transform_graph, wordpiece)
    transformed.save_bert_preset(outputs.transform_graph, config.bert_preset)
    transformed.save_user_vocabularies(outputs.transform_graph, user_table.vocabularies | {"event_type": event_types})
    item_rows = {item_id: row for row, item_id in enumerate(built.item_ids) if row}
    for split in SPLITS:
        of_split = sequences.build_sequences(
            log, user_table, split, item_rows, dataset.positive, event_types, queries
        )
        transformed.save_sequences(outputs.examples, split, of_split)
    unknown = sum(item not in item_rows for item in log.columns["item_id"])
    return f"{built.num_rows - 1:,} items, {len(wordpiece):,} word pieces" + (
        f", {unknown:,} events on items outside the catalogue" if unknown else ""
    )
