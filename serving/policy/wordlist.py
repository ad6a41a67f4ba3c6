"""Words that are looked for in texts, in any script, however written: case, width, joints, what nobody sees."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

# Scripts that put no spaces between words, or join their endings to them: each letter stands by itself.
_JOINED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
# Nobody sees these between letters: Unicode's Default_Ignorable_Code_Point (version 15.1), and what stretches Arabic.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u0640\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Marks of any script, of Cyrillic, of Hebrew and Arabic (vowels that may be left out). Elsewhere, marks are letters.
_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
)
_PARTING = "'\u2019"  # Beside spaces: "he'll" is two words, and "b.o.m.b" is one.
_JOINT = "\0"


class Atom(NamedTuple):
    """Letters that stand together; `is_joined`: to those before them, by signs and without a space."""

    letters: str
    is_joined: bool


class Words:
    """Words and phrases: whole words where words are parted by spaces, and Chinese wherever it stands.

    >>> words = Words(["hell", "pipe  bomb", "赌博"])
    >>> [words.are_in(text) for text in ("Shell", "HELL!", "a PIPE-b.o.m.b kit", "网上赌 博平台", "pipes, bomb")]
    [False, True, True, True, False]
    """

    def __init__(self, words: Iterable[str]):
        self._by_first: dict[str, set[tuple[str, ...]]] = {}
        for word in words:
            if found := tuple(atom.letters for atom in _atoms(_chunks(word))):
                self._by_first.setdefault(found[0], set()).add(found)
        self._longest = max(map(len, self._by_first), default=0)

    def are_in(self, text: str) -> bool:
        """Whether a text has any of them."""
        readings = map(_chunks, _readings(text)) if self._by_first else ()
        return any(self._may_be_in(chunks) and self._is_in(_atoms(chunks)) for chunks in readings)

    def _may_be_in(self, chunks: Sequence[str]) -> bool:
        """Whether a word may begin somewhere: most texts have none, and of those nothing else is looked at."""
        joined = (_atoms([chunk]) for chunk in chunks if _JOINT in chunk)
        return not self._by_first.keys().isdisjoint(chunks) or any(
            first in self._by_first
            for parts in joined
            for at in range(len(parts))
            for first, _ in _spelt(parts, at, self._longest)
        )

    def _is_in(self, text: Sequence[Atom]) -> bool:
        return any(
            _go_on(text, end, word[1:])
            for at in range(len(text))
            for first, end in _spelt(text, at, self._longest)
            for word in self._by_first.get(first, ())
        )


def _go_on(text: Sequence[Atom], at: int, words: Sequence[str]) -> bool:
    """Whether a text has words at a place."""
    if not words:
        return True
    return any(found == words[0] and _go_on(text, end, words[1:]) for found, end in _spelt(text, at, len(words[0])))


def _spelt(text: Sequence[Atom], at: int, longest: int) -> Iterator[tuple[str, int]]:
    """What may be one word at a place, and where it ends: letters, and those that are joined to them."""
    found = ""
    for end, atom in enumerate(text[at : at + longest], start=at):
        found += atom.letters
        if (end > at and not atom.is_joined) or len(found) > longest:
            return
        yield found, end + 1


def _readings(text: str) -> Iterator[str]:
    """A text as it is and, where it has marks apart from their letters, without these: o\u0301 is ó, and may be o."""
    yield text
    if not text.isascii() and (bare := _MARKS.sub("", text)) != text:
        yield bare


def _chunks(text: str) -> list[str]:
    """What spaces part, and of Chinese each letter; without case, width, and what nobody sees; signs are joints.

    >>> _chunks("Ｆｒｅｅ so\\u00adda. 买b_omb")
    ['free', 'soda', '买', 'b\\x00omb']
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    folded = folded if folded.isascii() else unicodedata.normalize("NFKC", folded)
    chunks = folded.translate(_KINDS).split()
    return [chunk for chunk in (one.strip(_JOINT) for one in chunks) if chunk]


def _atoms(chunks: Iterable[str]) -> list[Atom]:
    parts = (filter(None, chunk.split(_JOINT)) for chunk in chunks)
    return [Atom(letters, at > 0) for chunk in parts for at, letters in enumerate(chunk)]


class _Kinds(dict[int, str]):
    """Code point → what stands for it: itself, a joint, a space, or nothing. Each is looked up once."""

    def __missing__(self, code: int) -> str:
        found = self[code] = _kind(chr(code))
        return found


_KINDS = _Kinds()


def _kind(one: str) -> str:
    category = unicodedata.category(one)
    if _UNSEEN.match(one) or _MARKS.match(one) or category == "Cf":
        return ""
    if _JOINED.match(one):
        return f" {one} "
    if one.isalnum() or category.startswith("M"):
        return one
    return " " if one.isspace() or one in _PARTING else _JOINT
