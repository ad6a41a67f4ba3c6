import numpy as np
import pytest

from homefeed.models.behaviour_text import SPECIAL_TOKENS, learn_vocabulary, tokenize

TEXTS = ["Star Wars star wars", "Starring: the wars", "科幻电影 star", "夏天的衣服 科幻"] * 3


@pytest.fixture(scope="module")
def vocabulary() -> list[str]:
    return learn_vocabulary(TEXTS, 60)


def _words(ids: np.ndarray, vocabulary: list[str]) -> list[list[str]]:
    return [[vocabulary[i] for i in row if i] for row in ids]


def test_special_tokens_come_first_and_nothing_twice(vocabulary: list[str]) -> None:
    assert tuple(vocabulary[:5]) == SPECIAL_TOKENS
    assert len(set(vocabulary)) == len(vocabulary) <= 60


def test_order_of_texts_does_not_matter(vocabulary: list[str]) -> None:
    assert learn_vocabulary(reversed(TEXTS), 60) == vocabulary


def test_ideographs_are_single_tokens(vocabulary: list[str]) -> None:
    ids = tokenize(["科幻 STAR，电"], vocabulary, 8)
    assert ids.shape == (1, 8) and ids.dtype == np.int32
    assert _words(ids, vocabulary) == [["科", "幻", "star", "[UNK]", "电"]]


def test_truncation_keeps_the_beginning(vocabulary: list[str]) -> None:
    assert _words(tokenize(["star wars star", "wars"], vocabulary, 2), vocabulary) == [
        ["star", "wars"],
        ["wars"],
    ]


def test_empty_control_and_broken_text(vocabulary: list[str]) -> None:
    ids = tokenize(["", " \t\n", "star\x00wars\x1f\u200b", "stár"], vocabulary, 3)
    assert _words(ids, vocabulary) == [[], [], ["star", "wars"], ["star"]]
    assert tokenize(["\ud800"], vocabulary, 3).shape == (1, 3)
    assert tokenize([], vocabulary, 3).shape == (0, 3)


def test_special_token_in_a_text_is_not_special(vocabulary: list[str]) -> None:
    assert not np.isin(tokenize(["[MASK] [SEP] [PAD]"], vocabulary, 9), [2, 3, 4]).any()


def test_cased_vocabulary_keeps_case() -> None:
    assert _words(tokenize(["Star"], cased := [*SPECIAL_TOKENS, "Star"], 2), cased) == [["Star"]]


def test_many_ideographs_fit() -> None:
    characters = [chr(0x4E00 + i) for i in range(1500)]
    vocabulary = learn_vocabulary(["".join(characters)], 4000)
    assert set(characters) <= set(vocabulary)


def test_vocabulary_without_special_tokens() -> None:
    with pytest.raises(ValueError, match=r"lacks \[UNK\], \[CLS\], \[SEP\], \[MASK\]"):
        tokenize(["a"], ["[PAD]", "a"], 3)


def test_no_room() -> None:
    with pytest.raises(ValueError, match="above 5; received 5"):
        learn_vocabulary(["a"], 5)


def test_nothing_to_learn_from() -> None:
    assert learn_vocabulary([], 10) == list(SPECIAL_TOKENS)
