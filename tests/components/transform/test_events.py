import numpy as np

from homefeed.components.transform.events import Events, tokenize_queries, training_queries
from homefeed.components.transform.text import learn_wordpiece


def test_queries_are_tokens_of_their_events_and_training_words_alone() -> None:
    queries = np.array([b"summer clothes", b"", "科幻电影".encode(), b"winter"], object)
    events = Events(np.zeros(4, np.int64), np.array([0, 0, 0, 2]), {"query": queries}, np.array([b"u"]))
    assert training_queries(events) == ["summer clothes", "科幻电影"]
    wordpiece = learn_wordpiece(training_queries(events), (), 8000, "")
    tokens = tokenize_queries(events, wordpiece, 4)
    assert tokens is not None and tokens.shape == (4, 4) and tokens.dtype == np.int32
    assert not tokens[1].any() and [wordpiece[token] for token in tokens[2]] == list("科幻电影")


def test_without_queries_there_are_no_tokens() -> None:
    for columns in ({}, {"query": np.array([b"", b""], object)}):
        events = Events(np.zeros(2, np.int64), np.zeros(2, np.int64), columns, np.array([b"u"]))
        assert training_queries(events) == []
        assert tokenize_queries(events, ["[PAD]"], 12) is None
