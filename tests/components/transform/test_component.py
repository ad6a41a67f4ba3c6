import numpy as np
import pytest

from homefeed.components.artifacts import example_io
from homefeed.components.transform import component as transform
from homefeed.models.sequences import Sequences
from homefeed.schemas.dataset import Feature, Positive

ITEM_FEATURES = {
    "item_id": Feature(kind="id"),
    "title": Feature(kind="text"),
    "categories": Feature(kind="categories"),
    "price": Feature(kind="number"),
    "image_embedding": Feature(kind="embedding", size=2),
}
USER_FEATURES = {"user_id": Feature(kind="id"), "age": Feature(kind="number"), "gender": Feature(kind="category")}


def strings(*rows: list[str]) -> tuple[np.ndarray, np.ndarray]:
    flat = np.array([value.encode() for row in rows for value in row], object)
    return flat, np.cumsum([0, *map(len, rows)])


def numbers(dtype: type, *rows: list[float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([value for row in rows for value in row], dtype), np.cumsum([0, *map(len, rows)])


@pytest.fixture(scope="module")
def items() -> object:
    return example_io.record_batch(
        {
            "item_id": strings(["heat"], ["咖啡"], ["new"]),
            "title": strings(["Heat in the city"], ["咖啡 coffee"], ["Never seen"]),
            "categories": strings(["drama", "crime"], ["drink"], []),
            "price": numbers(np.float32, [2.5], [], [4.0]),
            "image_embedding": numbers(np.float32, [1, 2], [3], [5, 6]),
        }
    )


@pytest.fixture(scope="module")
def built(items: object) -> tuple[transform.Catalogue, list[str]]:
    wordpiece = transform.learn_wordpiece(transform.item_texts(items, ITEM_FEATURES), (), transform.Config())
    interactions = [b"heat", b"heat", b"gone"]
    return transform.build_catalogue(items, ITEM_FEATURES, interactions, wordpiece, transform.Config()), wordpiece


def test_row_0_of_the_catalogue_is_nothing(built: tuple[transform.Catalogue, list[str]]) -> None:
    catalogue, _ = built
    assert catalogue.item_ids.tolist() == [b"", b"heat", "咖啡".encode(), b"new"]
    assert not catalogue.token_ids[0].any() and not catalogue.categorical["categories"][0].any()
    assert np.isnan(catalogue.numeric["price"][0]).all()


def test_training_counts_come_from_the_given_interactions(built: tuple[transform.Catalogue, list[str]]) -> None:
    assert built[0].train_counts.tolist() == [0, 2, 0, 0]


def test_categories_are_positions_behind_padding_and_oov(built: tuple[transform.Catalogue, list[str]]) -> None:
    catalogue, _ = built
    assert catalogue.vocabularies["categories"] == ("crime", "drama", "drink")
    assert catalogue.categorical["categories"][:, :2].tolist() == [[0, 0], [3, 2], [4, 0], [0, 0]]


def test_missing_numbers_and_half_embeddings_are_unknown(built: tuple[transform.Catalogue, list[str]]) -> None:
    numeric = built[0].numeric
    np.testing.assert_array_equal(numeric["price"][1:, 0], np.float32([2.5, np.nan, 4.0]))
    np.testing.assert_array_equal(numeric["image_embedding"][1:], np.float32([[1, 2], [np.nan, np.nan], [5, 6]]))


def test_chinese_and_english_texts_become_tokens_of_the_vocabulary(
    built: tuple[transform.Catalogue, list[str]],
) -> None:
    catalogue, wordpiece = built
    tokens = [wordpiece[token] for token in catalogue.token_ids[2] if token]
    assert tokens[:2] == ["咖", "啡"]
    assert "[UNK]" not in tokens


def make_events() -> transform.Events:
    """u1 and u2 are trained on; u2 and u3 come in eval, u1 and u3 in test."""

    def split(users: list[str], items: list[list[str]], times: list[list[int]]) -> object:
        return example_io.record_batch(
            {
                "user_id": strings(*[[user] for user in users]),
                "item_id": strings(*items),
                "timestamp": numbers(np.int64, *times),
                "value": numbers(np.float32, *[[float(t % 10) for t in row] for row in times]),
            }
        )

    return transform.join_splits(
        {
            "train": split(["u2", "u1"], [["heat"], ["heat", "gone"]], [[11], [12, 13]]),
            "eval": split(["u2", "u3"], [["咖啡", "new"], ["heat"]], [[24, 25], [26]]),
            "test": split(["u1", "u3"], [["new"], ["咖啡"]], [[37], [38]]),
        }
    )


@pytest.fixture(scope="module")
def users() -> transform.UserTable:
    table = example_io.record_batch(
        {
            "user_id": strings(["u1"], ["u3"]),
            "age": numbers(np.float32, [31], [33]),
            "gender": strings(["F"], ["X"]),
        }
    )
    wordpiece = transform.learn_wordpiece(["age gender"], (), transform.Config())
    return transform.build_users(table, np.array([True, False]), USER_FEATURES, wordpiece, transform.Config())


def sequences_of(split: str, users: transform.UserTable) -> Sequences:
    rows = {b"heat": 1, "咖啡".encode(): 2, b"new": 3}
    return transform.build_sequences(make_events(), users, split, rows, Positive(min_value=5), ())


def test_training_has_no_history(users: transform.UserTable) -> None:
    train = sequences_of("train", users)
    assert train.user_ids.tolist() == [b"u1", b"u2"]
    assert train.num_history.tolist() == [0, 0]
    assert train.item_index.tolist() == [1, 0, 1]  # "gone" is in no catalogue: row 0.
    assert train.timestamp.tolist() == [12, 13, 11]


def test_a_later_split_repeats_what_came_before_as_history(users: transform.UserTable) -> None:
    test = sequences_of("test", users)
    assert test.user_ids.tolist() == [b"u1", b"u3"]
    assert test.num_history.tolist() == [2, 1]
    assert test.timestamp.tolist() == [12, 13, 37, 26, 38]
    assert test.targets.tolist() == [2, 4]


def test_positive_is_what_the_dataset_says(users: transform.UserTable) -> None:
    assert sequences_of("eval", users).positive.tolist() == [False, False, True, True]  # Values 1, 4, 5, 6.


def test_vocabularies_of_users_come_from_training_users_alone(users: transform.UserTable) -> None:
    assert users.vocabularies["gender"] == ("F",)
    test = sequences_of("test", users)
    assert test.categorical["gender"][:, 0].tolist() == [2, 1]  # "X" of u3 is out-of-vocabulary.


def test_a_user_who_is_in_no_table_has_unknown_features(users: transform.UserTable) -> None:
    evaluated = sequences_of("eval", users)
    assert evaluated.user_ids.tolist() == [b"u2", b"u3"]
    assert evaluated.categorical["gender"][:, 0].tolist() == [0, 1]
    assert np.isnan(evaluated.numeric["age"][0]).all()


def test_what_happens_later_changes_nothing_earlier(users: transform.UserTable) -> None:
    before = sequences_of("train", users)
    events = make_events()
    later = events.split > 0
    events.columns["item_id"][later] = b"heat"
    after = transform.build_sequences(events, users, "train", {b"heat": 1}, Positive(min_value=5), ())
    np.testing.assert_array_equal(before.item_index, after.item_index)


def test_queries_are_tokens_of_their_events_and_training_words_alone() -> None:
    queries = np.array([b"summer clothes", b"", "科幻电影".encode(), b"winter"], object)
    events = transform.Events(np.zeros(4, np.int64), np.array([0, 0, 0, 2]), {"query": queries}, np.array([b"u"]))
    assert transform.training_queries(events) == ["summer clothes", "科幻电影"]
    wordpiece = transform.learn_wordpiece(transform.training_queries(events), (), transform.Config())
    tokens = transform.tokenize_queries(events, wordpiece, transform.Config(query_tokens=4))
    assert tokens is not None and tokens.shape == (4, 4) and tokens.dtype == np.int32
    assert not tokens[1].any() and [wordpiece[token] for token in tokens[2]] == list("科幻电影")


def test_without_queries_there_are_no_tokens() -> None:
    for columns in ({}, {"query": np.array([b"", b""], object)}):
        events = transform.Events(np.zeros(2, np.int64), np.zeros(2, np.int64), columns, np.array([b"u"]))
        assert transform.training_queries(events) == []
        assert transform.tokenize_queries(events, ["[PAD]"], transform.Config()) is None
