"""Text to WordPiece token ids, with the vocabulary that a model carries in its assets (`assets/vocab.txt`).

What the models were trained with, KerasNLP's tokenizer, needs all of TensorFlow; this is the same in plain Python,
and a test holds the two together over every character of Unicode.
"""

from __future__ import annotations

import functools
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

UNKNOWN = "[UNK]"
_SUFFIX = "##"
_MAX_WORD_BYTES = 100  # A longer word is unknown.
# BERT's ideographs: each is a word of its own.
_CJK = re.compile(
    "([\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f"
    "\U0002b820-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f])"
)
# Unicode's Default_Ignorable_Code_Point: case folding drops them.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Of Unicode 13 and 14: younger than the tables of TF-Text's case folding, which leaves them as they are.
_YOUNG = re.compile("([\ua7f2-\ua7f4\U00010780-\U000107ba\U0001fbf0-\U0001fbf9])")


class WordPiece:
    """A tokenizer.

    Args:
        vocabulary: tokens by id; id 0 is the padding.

    Raises:
        ValueError: the vocabulary has no [UNK].
    """

    def __init__(self, vocabulary: Sequence[str]):
        self._ids = {token: number for number, token in enumerate(vocabulary)}
        if UNKNOWN not in self._ids:
            raise ValueError(f"A WordPiece vocabulary holds {UNKNOWN}, but this one of {len(vocabulary)} does not.")
        self._folds_case = not any(token != token.lower() for token in vocabulary if not token.startswith("["))
        self._pieces = functools.lru_cache(maxsize=65536)(self._split_word)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> WordPiece:
        """Reads `vocab.txt`: a token a line."""
        with open(path, encoding="utf-8", newline="\n") as file:
            return cls(file.read().removesuffix("\n").split("\n"))

    def token_ids(self, text: str) -> list[int]:
        """The ids of a text, without [CLS] and [SEP]; a special token written out is punctuation and letters."""
        return [number for word in self._words(text) for number in self._pieces(word)]

    def batch(self, texts: Iterable[str], length: int | None = None) -> npt.NDArray[np.int32]:
        """Token ids of many texts, as an input of a signature.

        Args:
            texts: any language.
            length: how many tokens are kept, from the beginning; by default those of the longest, at least one.

        Returns:
            [num_texts, length] int32, 0-padded.
        """
        rows = [self.token_ids(text) for text in texts]
        width = max([1, *map(len, rows)]) if length is None else length
        ids = np.zeros((len(rows), width), np.int32)
        for row, numbers in zip(ids, rows, strict=True):
            row[: min(len(numbers), width)] = numbers[:width]
        return ids

    def _words(self, text: str) -> list[str]:
        # A zero byte ends a text for KerasNLP, and half of a surrogate pair cannot be encoded.
        text = text.replace("\0", " ").encode("utf-8", "replace").decode()
        text = unicodedata.normalize("NFD", _CJK.sub(r" \1 ", text))
        words = [""]
        for character in text:
            kind = _kind(character)
            if kind == "letter":
                words[-1] += character
            elif kind == "space":
                words.append("")
            elif kind == "word":
                words += [character, ""]
        return [_fold(word) if self._folds_case else word for word in words if word]

    def _split_word(self, word: str) -> tuple[int, ...]:
        """The longest token that the word begins with, then that of what is left; all or nothing."""
        if len(word.encode()) > _MAX_WORD_BYTES:
            return (self._ids[UNKNOWN],)
        numbers = []
        start = 0
        while start < len(word):
            prefix = _SUFFIX if start else ""
            for end in range(len(word), start, -1):
                number = self._ids.get(prefix + word[start:end])
                if number is not None:
                    numbers.append(number)
                    start = end
                    break
            else:
                return (self._ids[UNKNOWN],)
        return tuple(numbers)


@functools.lru_cache(maxsize=65536)
def _kind(character: str) -> str:
    """`letter`, `space` (separates words), `word` (is one by itself) or `accent` (is dropped)."""
    category = unicodedata.category(character)
    if category == "Mn":
        return "accent"
    if character in " \t\n\f\r" or category in ("Cc", "Cf"):
        return "space"
    is_ascii_sign = character.isascii() and not character.isalnum()
    return "word" if is_ascii_sign or category[0] == "P" or _CJK.match(character) else "letter"


def _fold(word: str) -> str:
    """NFKC_Casefold of the Unicode standard."""
    if word.isascii():
        return word.lower()
    return "".join(part if _YOUNG.match(part) else _fold_known(part) for part in _YOUNG.split(word))


def _fold_known(text: str) -> str:
    folded = _IGNORABLE.sub("", unicodedata.normalize("NFKC", text.casefold()).casefold())
    return unicodedata.normalize("NFKC", folded)
