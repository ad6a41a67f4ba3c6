"""Transformed examples, as Transform would leave them, over the toy data."""

import dataclasses
import pathlib

from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import Examples, TransformGraph
from homefeed.models.behaviour_text import SPECIAL_TOKENS
from homefeed.models.catalogue import Catalogue
from homefeed.models.sequences import Sequences

VOCABULARY = [*SPECIAL_TOKENS, "title", "age", "gender", "view", "片"]


def save_transformed(
    folder: pathlib.Path, catalogue: Catalogue, train: Sequences, evaluation: Sequences, preset: str = ""
) -> tuple[TransformGraph, Examples]:
    graph, examples = TransformGraph(folder / "graph"), Examples(folder / "examples")
    transformed.save_catalogue(graph, catalogue)
    transformed.save_wordpiece(graph, VOCABULARY)
    transformed.save_bert_preset(graph, preset)
    transformed.save_request(graph, train)
    transformed.save_sequences(examples, "train", train)
    transformed.save_sequences(examples, "eval", evaluation)
    return graph, examples


def without(sequences: Sequences, *names: str) -> Sequences:
    """The sequences without values, event types, users' features, dislikes or queries."""
    changes = {
        "value": {"event_numeric": {}},
        "event_type": {"event_categorical": {}, "event_vocabularies": {}},
        "users": {"categorical": {}, "numeric": {}, "vocabularies": {}},
        "dislikes": {"positive": sequences.positive | True},
        "likes": {"positive": sequences.positive & False},
        "queries": {"query_token_ids": None},
    }
    gone = {"value": "history_value", "event_type": "history_event_type", "users": "user_"}
    lost = tuple(gone[name] for name in names if name in gone)
    inputs = {name: spec for name, spec in sequences.inputs.items() if not lost or not name.startswith(lost)}
    for name in names:
        sequences = dataclasses.replace(sequences, **changes[name])
    return dataclasses.replace(sequences, inputs=inputs)
