"""Transformed examples, as Transform would leave them, over the toy data."""

import dataclasses
import pathlib

import numpy as np

from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import Examples, TransformGraph
from homefeed.models.behaviour_text import SPECIAL_TOKENS
from homefeed.models.catalogue import Catalogue
from homefeed.models.sequences import Sequences
from homefeed.models.text import bert as berts
from homefeed.models.text import reading
from homefeed.models.text.heads import TextHeads
from homefeed.models.text.text_model import TextModel
from homefeed.models.text.texts import Tokens

VOCABULARY = [*SPECIAL_TOKENS, "title", "age", "gender", "view", "片"]


def save_transformed(
    folder: pathlib.Path, catalogue: Catalogue, train: Sequences, evaluation: Sequences, preset: str = ""
) -> tuple[TransformGraph, Examples]:
    graph, examples = TransformGraph(folder / "graph"), Examples(folder / "examples")
    transformed.save_catalogue(graph, catalogue)
    transformed.save_wordpiece(graph, VOCABULARY)
    transformed.save_bert_preset(graph, preset)
    transformed.save_request(graph, vars(train))
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


def text_model(catalogue: Catalogue) -> TextModel:
    """A tiny one, always the same, whose heads say something."""
    berts.keras_seed(0)
    bert = berts.new_bert(len(VOCABULARY), layers=1, width=8, length=16, dropout=0.0)
    ends = reading.Ends(tuple(VOCABULARY), 16)
    texts = Tokens.of(catalogue, np.zeros((1, 1), np.int32), ends).read(reading.Reader(bert))
    heads = TextHeads(8, 2)
    rng = np.random.default_rng(0)
    heads.set_weights([rng.normal(size=weight.shape) for weight in heads.get_weights()])
    return TextModel((bert,), (ends,), texts.scale, heads, texts.items, catalogue.token_ids)
