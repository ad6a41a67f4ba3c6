import dataclasses

import tensorflow as tf

from homefeed.models.shared.request_specs import RequestFeatures
from homefeed.schemas.features import Input
from tests.toy_data import toy_sequences


def test_specs_are_the_declared_inputs_but_for_queries() -> None:
    train = toy_sequences()
    more = {"user_face_embedding": Input("float32", (-1, 2)), "query_token_ids": Input("int32", (-1, -1))}
    train = dataclasses.replace(train, inputs=train.inputs | more)
    specs = RequestFeatures.of(train).specs
    assert {name: (spec.dtype, spec.shape.as_list()) for name, spec in specs.items()} == {
        "history": (tf.string, [None, None]),
        "history_timestamp": (tf.int64, [None, None]),
        "timestamp": (tf.int64, [None]),
        "history_value": (tf.float32, [None, None]),
        "history_event_type": (tf.string, [None, None]),
        "user_gender": (tf.string, [None]),
        "user_age": (tf.float32, [None]),
        "user_face_embedding": (tf.float32, [None, 2]),
    }
    assert all(spec.name == name for name, spec in specs.items())


def test_vocabularies_are_those_of_training() -> None:
    found = RequestFeatures.of(toy_sequences())
    assert found.vocabularies == {"gender": ("F", "M")} and found.event_vocabularies == {
        "event_type": ("view", "buy")
    }
