"""Transform: from raw ids and text to vocabularies, catalogue, histories and token ids."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from typing import Annotated

from pydantic import Field

from homefeed.components.artifacts import example_io, transformed
from homefeed.components.artifacts.types import ALL, SPLITS, DatasetDir, Examples, TransformGraph
from homefeed.schemas.dataset import load_dataset
from homefeed.schemas.settings import Count, Form


def _may_be_preset(text: str) -> bool:
    is_path = "/" in text or text.startswith(".")
    return not is_path or "://" in text or pathlib.Path(text).is_dir()


Preset = Annotated[str, Form("a KerasNLP preset, or a folder that is there", _may_be_preset, on_this_machine=True)]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The raw examples of the tables."""

    dataset: DatasetDir
    interactions: Examples
    items: Examples
    users: Examples
    exposures: Examples


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What every trainer reads; `homefeed.components.artifacts.transformed` loads it."""

    transform_graph: TransformGraph
    examples: Examples


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of vocabularies and texts."""

    wordpiece_size: Annotated[int, Field(ge=100)] = 8000  # The most tokens in the vocabulary of behaviour text.
    # A KerasNLP preset, or a folder in KerasNLP's or Hugging Face's format: its vocabulary is taken, and
    # BehaviorPretrainer reads texts with it too, beside the compact BERT; empty: a vocabulary of our own.
    bert_preset: Preset = ""
    item_tokens: Count = 24  # Tokens kept of an item's text.
    query_tokens: Count = 12  # Tokens kept of what a user searched for.
    max_categories: Count = 8  # Values kept of a feature that has several.
    min_count: Count = 1  # A category seen less often is out-of-vocabulary.
    learn_denied: bool = False  # Whether events on items that the data's rules deny are learnt from.


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Reads the examples, makes vocabularies and arrays of them, writes these."""
    from homefeed.components.transform import catalogue, denials, events, exposures, sequences, text, users

    dataset = load_dataset(inputs.dataset.path)
    item_features, user_features = dataset.features("items"), dataset.features("users")
    log = events.join_splits({split: example_io.read_parts(inputs.interactions, split) for split in SPLITS})
    items, people = (example_io.read_split(table, ALL) for table in (inputs.items, inputs.users))
    trained_on = users.trained_on(people, log.trained_on)
    event_features = events.encode_events(log, dataset.event_features, config.min_count)

    texts = text.item_texts(items, item_features) + events.training_queries(log)
    wordpiece = text.learn_wordpiece(texts, config.wordpiece_size, config.bert_preset)
    user_table = users.build_users(
        people,
        trained_on,
        user_features,
        max_categories=config.max_categories,
        min_count=config.min_count,
    )
    denied = denials.denied_items(inputs.dataset.path, dataset, items)
    unlearnt = frozenset[bytes]() if config.learn_denied else frozenset(denied)
    train_counts = log.columns["item_id"][log.in_train].counts()
    built = catalogue.build_catalogue(
        items,
        item_features,
        {item_id: count for item_id, count in train_counts.items() if item_id not in unlearnt},
        wordpiece,
        num_tokens=config.item_tokens,
        max_categories=config.max_categories,
        min_count=config.min_count,
        denied=denied,
    )
    train_users = user_table.take(log.trained_on)
    queries = events.tokenize_queries(log, wordpiece, config.query_tokens)

    inputs_of_requests = sequences.request_inputs(dataset, event_features, train_users, queries is not None)

    transformed.save_catalogue(outputs.transform_graph, built)
    transformed.save_wordpiece(outputs.transform_graph, wordpiece)
    transformed.save_bert_preset(outputs.transform_graph, config.bert_preset)
    item_rows = {item_id: row for row, item_id in enumerate(built.item_ids) if row and item_id not in unlearnt}
    for split in SPLITS:
        parts = sequences.build_sequences(
            log, user_table, split, item_rows, dataset, event_features, inputs_of_requests, queries
        )
        first = next(parts)
        transformed.save_parts(outputs.examples, split, itertools.chain([first], parts))
    transformed.save_request(outputs.transform_graph, first)
    columns = {split: example_io.join_columns(example_io.read_parts(inputs.exposures, split)) for split in SPLITS}
    shown = exposures.build_exposures(columns, log, item_rows, dataset.positive)
    for split, impressions in shown.items():
        transformed.save_exposures(outputs.examples, split, impressions)
    item_counts = log.columns["item_id"].counts()
    unknown = sum(count for item, count in item_counts.items() if item not in item_rows and item not in unlearnt)
    said = [f"{built.num_rows - 1:,} items", f"{len(wordpiece):,} word pieces"]
    said += [f"{unknown:,} events on items outside the catalogue"] if unknown else []
    said += denials.summarize(denied, item_counts)
    return ", ".join([*said, *exposures.summarize(shown)])
