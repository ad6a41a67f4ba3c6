import numpy as np
import pytest

from homefeed.components.artifacts import example_io
from homefeed.components.transform.sequences import build_sequences
from homefeed.components.transform.text import learn_wordpiece
from homefeed.components.transform.users import UserTable, build_users
from homefeed.models.sequences import Sequences
from homefeed.schemas.dataset import Feature, Positive
from tests.components.ragged import numbers, strings
from tests.components.transform.log import make_events

USER_FEATURES = {"user_id": Feature(kind="id"), "age": Feature(kind="number"), "gender": Feature(kind="category")}


@pytest.fixture(scope="module")
def users() -> UserTable:
    table = example_io.record_batch(
        {
            "user_id": strings(["u1"], ["u3"]),
            "age": numbers(np.float32, [31], [33]),
            "gender": strings(["F"], ["X"]),
        }
    )
    wordpiece = learn_wordpiece(["age gender"], (), 8000, "")
    return build_users(table, np.array([True, False]), USER_FEATURES, wordpiece, num_tokens=16, max_categories=8)


def sequences_of(split: str, users: UserTable) -> Sequences:
    rows = {b"heat": 1, "咖啡".encode(): 2, b"new": 3}
    return build_sequences(make_events(), users, split, rows, Positive(min_value=5), ())


def test_training_has_no_history(users: UserTable) -> None:
    train = sequences_of("train", users)
    assert train.user_ids.tolist() == [b"u1", b"u2"]
    assert train.num_history.tolist() == [0, 0]
    assert train.item_index.tolist() == [1, 0, 1]  # "gone" is in no catalogue: row 0.
    assert train.timestamp.tolist() == [12, 13, 11]


def test_a_later_split_repeats_what_came_before_as_history(users: UserTable) -> None:
    test = sequences_of("test", users)
    assert test.user_ids.tolist() == [b"u1", b"u3"]
    assert test.num_history.tolist() == [2, 1]
    assert test.timestamp.tolist() == [12, 13, 37, 26, 38]
    assert test.targets.tolist() == [2, 4]


def test_positive_is_what_the_dataset_says(users: UserTable) -> None:
    assert sequences_of("eval", users).positive.tolist() == [False, False, True, True]  # Values 1, 4, 5, 6.


def test_vocabularies_of_users_come_from_training_users_alone(users: UserTable) -> None:
    assert users.vocabularies["gender"] == ("F",)
    test = sequences_of("test", users)
    assert test.categorical["gender"][:, 0].tolist() == [2, 1]  # "X" of u3 is out-of-vocabulary.


def test_a_user_who_is_in_no_table_has_unknown_features(users: UserTable) -> None:
    evaluated = sequences_of("eval", users)
    assert evaluated.user_ids.tolist() == [b"u2", b"u3"]
    assert evaluated.categorical["gender"][:, 0].tolist() == [0, 1]
    assert np.isnan(evaluated.numeric["age"][0]).all()


def test_what_happens_later_changes_nothing_earlier(users: UserTable) -> None:
    before = sequences_of("train", users)
    events = make_events()
    later = events.split > 0
    events.columns["item_id"][later] = b"heat"
    after = build_sequences(events, users, "train", {b"heat": 1}, Positive(min_value=5), ())
    np.testing.assert_array_equal(before.item_index, after.item_index)
