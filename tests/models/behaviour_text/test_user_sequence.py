import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.behaviour_text import SPECIAL_TOKENS, tokenize, user_text
from homefeed.models.behaviour_text.user_sequence import TextTables, UserSequence, text_tables
from homefeed.models.catalogue import Catalogue
from homefeed.models.sequences import Sequences

WORDS = ["age", "gender", "f", "m", "24", "31", "heat", "star", "wars", "科", "1", "5", "click"]
VOCABULARY = [*SPECIAL_TOKENS, *WORDS]


@pytest.fixture(scope="module")
def tables() -> TextTables:
    titles = ["", "Heat", "Star Wars", "科"]
    catalogue = Catalogue(
        item_ids=np.array([b"", b"h", b"s", b"k"], object),
        titles=np.array([t.encode() for t in titles], object),
        token_ids=tokenize(titles, VOCABULARY, 3),
        categorical={},
        numeric={},
        vocabularies={},
        train_counts=np.array([0, 1, 1, 0]),
    )
    train = Sequences(
        user_ids=np.array([b"a", b"b"], object),
        row_splits=np.array([0, 1, 3]),
        num_history=np.zeros(2, np.int64),
        item_index=np.array([1, 2, 1], np.int32),
        timestamp=np.arange(3),
        event_categorical={"event_type": np.array([2, 2, 2], np.int32)},
        event_numeric={"value": np.array([1, 5, np.nan], np.float32)},
        event_vocabularies={"event_type": ("click",)},
        positive=np.array([False, True, True]),
        categorical={"gender": np.array([[2], [3]], np.int32)},
        numeric={"age": np.array([[24], [31]], np.float32)},
        vocabularies={"gender": ("F", "M")},
        inputs={},
    )
    return text_tables(VOCABULARY, catalogue, train)


def _read(tables: TextTables, length: int = 16, **request: list[list[float]]) -> list[list[str]]:
    tensors = {
        name: tf.constant(value, tf.float32 if "value" in name or "age" in name else tf.int32)
        for name, value in request.items()
    }
    token_ids = UserSequence(tables, length)(tensors)
    assert token_ids.shape == (len(request["recent_items"]), length) and token_ids.dtype == tf.int32
    return [[VOCABULARY[i] for i in row if i] for row in token_ids.numpy()]


def test_features_then_events_newest_first(tables: TextTables) -> None:
    rows = _read(
        tables,
        recent_items=[[2, 1], [0, 3]],
        recent_value=[[5, np.nan], [1, 1]],
        recent_event_type=[[2, 0], [2, 1]],
        user_gender=[[3], [1]],
        user_age=[[24], [np.nan]],
    )
    assert rows == [
        ["[CLS]", "gender", "m", "age", "24", "[SEP]", "click", "5", "star", "wars", "[SEP]", "heat", "[SEP]"],
        ["[CLS]", "gender", "[UNK]", "[SEP]", "[UNK]", "1", "科", "[SEP]"],
    ]


def test_nobody(tables: TextTables) -> None:
    assert _read(tables, recent_items=[[0, 0]], user_gender=[[0]]) == [["[CLS]", "[SEP]"]]
    assert _read(tables, recent_items=[[]]) == [["[CLS]", "[SEP]"]]


def test_budget_keeps_the_newest(tables: TextTables) -> None:
    assert _read(tables, 6, recent_items=[[1, 2, 3]]) == [["[CLS]", "[SEP]", "heat", "[SEP]", "star", "wars"]]


def test_query_stands_between_features_and_events(tables: TextTables) -> None:
    rows = _read(tables, recent_items=[[1], [1]], query_token_ids=[[0, 14], [0, 0]])
    assert rows == [["[CLS]", "[SEP]", "科", "[SEP]", "heat", "[SEP]"], ["[CLS]", "[SEP]", "heat", "[SEP]"]]


def test_a_number_is_written_as_the_nearest_that_has_a_text(tables: TextTables) -> None:
    # Halfway between 24 and 31 lies 27.5.
    ages = {-1e9: "24", 24: "24", 27.4: "24", 27.6: "31", 1e9: "31"}
    read = _read(tables, recent_items=[[0]] * 5, user_age=[[age] for age in ages])
    assert read == [["[CLS]", "age", text, "[SEP]"] for text in ages.values()]


def test_the_same_tokens_as_the_text(tables: TextTables) -> None:
    text = user_text({"gender": "F", "age": 31.0})
    direct = tokenize([text], VOCABULARY, 4)[0]
    built = UserSequence(tables, 8)(
        {
            "recent_items": tf.zeros([1, 1], tf.int32),
            "user_age": tf.constant([[31.0]]),
            "user_gender": tf.constant([[2]]),
        }
    ).numpy()[0]
    np.testing.assert_array_equal(built[1:5], direct)


def test_an_item_beside_its_user(tables: TextTables) -> None:
    sequence = UserSequence(tables, 10)
    users = sequence({"recent_items": tf.constant([[2, 1], [3, 0]])})
    pairs, segments = sequence.pairs(tf.constant(tables.items[[[1, 2], [0, 3]]]), users)
    assert [" ".join(VOCABULARY[i] for i in row if i) for row in pairs.numpy()] == [
        "[CLS] heat [SEP] [SEP] star wars [SEP] heat [SEP]",
        "[CLS] star wars [SEP] [SEP] star wars [SEP] heat [SEP]",
        "[CLS] [SEP] [SEP] 科 [SEP]",
        "[CLS] 科 [SEP] [SEP] 科 [SEP]",
    ]
    np.testing.assert_array_equal(segments.numpy().sum(1), [6, 6, 3, 3])
    assert pairs.shape == segments.shape == (4, 10)


def test_only_the_beginning_of_a_query_is_read(tables: TextTables) -> None:
    (row,) = _read(tables, 64, recent_items=[[1]], query_token_ids=[[5] * 5000])
    assert row == ["[CLS]", "[SEP]", *["age"] * 32, "[SEP]", "heat", "[SEP]"]


def test_an_item_without_a_text_and_texts_of_any_kind(tables: TextTables) -> None:
    texts = ["", "\x00\x01\u200b\n", "heat " * 2000, "[MASK] [SEP]"]
    items = tokenize(texts, VOCABULARY, 8)
    assert not items[0].any(), "no title, no tokens"
    sequence = UserSequence(tables, 16)
    read = sequence.of_items(tf.constant(items)).numpy()
    assert [VOCABULARY[i] for i in read[0] if i] == ["[CLS]", "[SEP]"]
    assert [VOCABULARY[i] for i in read[2] if i] == ["[CLS]", *["heat"] * 8, "[SEP]"]
    assert "[MASK]" not in [VOCABULARY[i] for i in read[3]] and (read[3] == 3).sum() == 1
