"""What the components after the trainings are given, in small."""

from __future__ import annotations

import pathlib

import numpy as np

from homefeed.components import retrieval_trainer
from homefeed.components.artifacts import example_io, transformed
from homefeed.components.artifacts.types import Examples, InfraBlessing, ModelBlessing, PretrainedBert, TransformGraph
from homefeed.models.behaviour_text import SPECIAL_TOKENS
from tests.components import ranking_toys
from tests.components.ragged import numbers, strings
from tests.models.retrieval import toy
from tests.toy_data import toy_catalogue, toy_sequences


def transformed_examples(folder: pathlib.Path, lurker: str) -> tuple[TransformGraph, Examples, Examples]:
    """Transform's graph and examples, and the users table, in which stands one user without any event."""
    graph, examples, users = (
        TransformGraph(folder / "graph"),
        Examples(folder / "examples"),
        Examples(folder / "users"),
    )
    transformed.save_catalogue(graph, toy_catalogue())
    transformed.save_request(graph, vars(toy_sequences()))
    transformed.save_sequences(examples, "train", toy_sequences(3))
    transformed.save_sequences(examples, "eval", toy_sequences(0))
    transformed.save_sequences(examples, "test", toy_sequences(2, num_history=2))
    rows = {"user_id": strings(["u0"], [lurker]), "age": numbers(float, [31.0], [])}
    example_io.write_split(users, "all", example_io.record_batch(rows))
    return graph, examples, users


def cut(table: Examples, num_shards: int) -> None:
    """Parts every split into shards: a user is in the same one wherever users are in the same order."""
    for split in table.splits:
        batch = example_io.read_split(table, split)
        (whole,) = table.split_files(split)
        whole.unlink()
        for shard in range(num_shards):
            rows = np.arange(shard, batch.num_rows, num_shards)
            example_io.write_split(table, split, batch.take(rows), shard, num_shards)


def retrieval_inputs(folder: pathlib.Path, num_users: int = 8) -> retrieval_trainer.Inputs:
    """What RetrievalTrainer is given, of retrieval's own toy world; in `graph`, `examples` and `bert`."""
    graph, examples = TransformGraph(folder / "graph"), Examples(folder / "examples")
    bert, train = PretrainedBert(folder / "bert"), toy.sequences(num_users)
    transformed.save_catalogue(graph, toy.catalogue())
    transformed.save_wordpiece(graph, [*SPECIAL_TOKENS, "red", "tea", "cup", "blue", "片"])
    transformed.save_request(graph, vars(train))
    transformed.save_sequences(examples, "train", train)
    transformed.save_sequences(examples, "eval", toy.sequences(num_users=5, num_targets=1, num_history=2, seed=1))
    ranking_toys.text_model(toy.catalogue()).save(bert.path)
    return retrieval_trainer.Inputs(graph, examples, bert)


def items_table(folder: pathlib.Path) -> Examples:
    """The items table: two of the catalogue's items, with what cards show and an embedding."""
    items = Examples(folder / "items")
    rows = {
        "item_id": strings(["i1"], ["i3"]),
        "title": strings(["Title 1 片1"], ["Title 3 片3"]),
        "categories": strings(["drama", "crime"], ["drama"]),
        "price": numbers(float, [2.5], []),
        "cover_embedding": numbers(float, [0.5, 0.25], [0.5, 1.0]),
    }
    example_io.write_split(items, "all", example_io.record_batch(rows))
    items.write_json(Examples.FACTS_FILE, ["categories"])
    items.write_json(Examples.DECLARED_FILE, ["price", "complaint"])
    return items


def relations_table(folder: pathlib.Path) -> Examples:
    """`u0` is related to two others."""
    relations = Examples(folder / "relations")
    rows = {"user_id": strings(["u0"], ["u0"]), "other_id": strings(["lurker"], ["u2"])}
    example_io.write_split(relations, "all", example_io.record_batch(rows))
    return relations


def open_gates(folder: pathlib.Path) -> tuple[ModelBlessing, InfraBlessing]:
    """Both verdicts on the models, without a reason against them."""
    gates = ModelBlessing(folder / "blessing"), InfraBlessing(folder / "infra")
    for gate in gates:
        gate.write_reasons([])
    return gates
