"""Transform: from raw ids and text to vocabularies, catalogue, histories and token ids."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import ALL, DatasetDir, Examples, TransformGraph
from homefeed.components.beam.settings import BeamSettings
from homefeed.schemas.dataset import load_dataset
from homefeed.schemas.settings import Count, Form

if TYPE_CHECKING:
    from homefeed.components.transform.counts import Counts


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
class Config(BeamSettings):
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
    """Counts what training teaches, writes vocabularies and catalogue, and then every shard's Examples."""
    between = outputs.transform_graph.path / "between"  # Where every worker can write.
    shutil.rmtree(between, ignore_errors=True)  # Of a process that was killed.
    between.mkdir(parents=True)
    try:
        return _run(inputs, outputs, config, between)
    finally:
        shutil.rmtree(between)  # It holds people's events: what cannot be removed is said.


def _run(inputs: Inputs, outputs: Outputs, config: Config, between: pathlib.Path) -> str:
    from homefeed.components.transform import beam, denials, exposures, graph, learnt, shards

    dataset = load_dataset(inputs.dataset.path)
    tables = shards.Tables(inputs.interactions, inputs.users, inputs.exposures)

    def of_all(step: Callable[[int], Counts]) -> Counts:
        folder = between / type(step).__name__
        return beam.count_each(tables.num_shards, step, folder, config.runner, config.beam_options)

    counts = of_all(shards.CountShard(tables, dataset, between))
    items = example_io.read_split(inputs.items, ALL)
    denied = denials.denied_items(inputs.dataset.path, dataset, items)
    said = graph.write_graph(
        outputs.transform_graph,
        counts,
        items,
        dataset,
        wordpiece_size=config.wordpiece_size,
        bert_preset=config.bert_preset,
        item_tokens=config.item_tokens,
        max_categories=config.max_categories,
        min_count=config.min_count,
        denied=denied,
        learn_denied=config.learn_denied,
    )
    said += denials.summarize(denied, counts[learnt.ITEMS])
    encode = shards.EncodeShard(
        tables,
        dataset,
        between,
        outputs.transform_graph,
        outputs.examples,
        query_tokens=config.query_tokens,
        max_categories=config.max_categories,
        learn_denied=config.learn_denied,
        names_pages=learnt.names_pages(counts),
    )
    return ", ".join([*said, *exposures.summarize(of_all(encode))])
