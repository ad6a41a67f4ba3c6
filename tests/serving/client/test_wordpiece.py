"""The client's tokens are those that the models were trained with."""

import pathlib
import random
import sys
import unicodedata

import numpy as np
import pytest
from homefeed_client import WordPiece

from homefeed.models.behaviour_text import SPECIAL_TOKENS, tokenize

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789ßæøı"
VOCABULARY = [
    *SPECIAL_TOKENS, *"!#$%&'()*+,-./:;<=>?@[]^_`{|}~，。！？「」", *"科幻电影夏天的衣服星球大战", *LETTERS,
    *(f"##{letter}" for letter in LETTERS), "star", "##wars", "the", "##ing", "한국어", "日本",
    "ラ", "##ーメン", "при", "##вет",
]  # fmt: skip
CASED = [*SPECIAL_TOKENS, "Star", "##Wars", *"abcABC", *(f"##{letter}" for letter in "abcABC")]


def assert_same(texts: list[str], vocabulary: list[str]) -> None:
    ours = WordPiece(vocabulary).batch(texts, length=24)
    theirs = tokenize(texts, vocabulary, 24)
    wrong = [text for text, a, b in zip(texts, ours, theirs, strict=True) if a.tobytes() != b.tobytes()]
    assert not wrong, f"{len(wrong)} differ: {[ascii(text) for text in wrong[:20]]}"


def test_every_character_of_unicode() -> None:
    # Unassigned ones may be assigned in another version of the tables.
    known = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) not in ("Cn", "Cs")]
    known = [character for character in known if unicodedata.category(character) != "Co"]
    assert_same([f"star{character}a" for character in known], VOCABULARY)


@pytest.mark.parametrize("vocabulary", [VOCABULARY, CASED])
def test_texts_of_any_language_and_none(vocabulary: list[str]) -> None:
    texts = [
        "", " \t\n", "Star Wars", "star-wars: THE thing!", "科幻电影 star，夏天的衣服！",
        "한국어 日本ラーメン привет",
        "[MASK] [SEP]", "stár Ǆ ﬁn ½ ＳＴＡＲ", "a" * 100, "a" * 101, "星" * 60, "\0star\0",
        "\ud800star", "star\u200bwars",
        "İstanbul ıI ΌΣΟΣ", "e\u0301a", "🎬 star 👩‍👩‍👧", "don't", "StarWars",
    ]  # fmt: skip
    assert_same(texts, vocabulary)
    random.seed(7)
    alphabet = "".join(texts) + "\u00a0\u2028\u3000¨ﾡ\u0345"
    assert_same(["".join(random.choices(alphabet, k=random.randrange(30))) for _ in range(2000)], vocabulary)


def test_a_vocabulary_from_the_assets_of_a_model(tmp_path: pathlib.Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    tokenizer = WordPiece.from_file(tmp_path / "vocab.txt")
    assert [VOCABULARY[number] for number in tokenizer.token_ids("Starwars 科幻")] == ["star", "##wars", "科", "幻"]


def test_a_batch_is_as_wide_as_its_longest_text() -> None:
    tokenizer = WordPiece(VOCABULARY)
    assert tokenizer.batch(["the", "the star"]).shape == (2, 2)
    assert tokenizer.batch([""]).tolist() == [[0]] and tokenizer.batch(["the"]).dtype == np.int32


def test_a_list_that_is_no_vocabulary() -> None:
    with pytest.raises(ValueError, match=r"holds \[UNK\], but this one of 1 does not"):
        WordPiece(["a"])
