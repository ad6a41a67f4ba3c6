import dataclasses

import numpy as np
import tensorflow as tf

from homefeed.models.shared.request_specs import request_features
from tests.toy_data import toy_sequences


def _shapes(train) -> dict[str, tuple[tf.DType, list[int | None]]]:  # type: ignore[no-untyped-def]
    return {name: (spec.dtype, spec.shape.as_list()) for name, spec in request_features(train).specs.items()}


def test_inputs_are_what_training_data_know_of_a_user() -> None:
    train = toy_sequences()
    train = dataclasses.replace(
        train,
        categorical=train.categorical | {"hobbies": np.zeros((5, 3), np.int32)},
        numeric=train.numeric | {"face_embedding": np.ones((5, 2), np.float32)},
        vocabularies=train.vocabularies | {"hobbies": ("go",)},
    )
    assert _shapes(train) == {
        "history": (tf.string, [None, None]),
        "history_timestamp": (tf.int64, [None, None]),
        "history_value": (tf.float32, [None, None]),
        "history_event_type": (tf.string, [None, None]),
        "user_gender": (tf.string, [None]),
        "user_hobbies": (tf.string, [None, None]),
        "user_age": (tf.float32, [None]),
        "user_face_embedding": (tf.float32, [None, 2]),
    }


def test_what_the_data_never_held_is_no_input() -> None:
    train = dataclasses.replace(
        toy_sequences(),
        value=np.full_like(toy_sequences().value, np.nan),
        categorical={},
        numeric={"age": np.full((5, 1), np.nan, np.float32)},
        vocabularies={"event_type": ()},
    )
    assert _shapes(train).keys() == {"history", "history_timestamp"}


def test_specs_carry_their_names() -> None:
    assert all(spec.name == name for name, spec in request_features(toy_sequences()).specs.items())
