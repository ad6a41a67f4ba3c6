"""Words that are looked for in texts, in any script, whatever their case, width and joints."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

# Scripts that put no spaces between words, or join their endings to them: each letter stands by itself.
_JOINED = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN = re.compile(f"[{_JOINED}]|[^\\W_{_JOINED}]+")


class Words:
    """Words and phrases: whole words where words are parted by spaces, and Chinese wherever it stands.

    >>> words = Words(["hell", "pipe  bomb", "赌博"])
    >>> [words.are_in(text) for text in ("Shell", "HELL!", "a PIPE-bomb kit", "网上赌 博平台", "pipes, bomb")]
    [False, True, True, True, False]
    """

    def __init__(self, words: Iterable[str]):
        self._by_first: dict[str, set[tuple[str, ...]]] = {}
        for word in words:
            if found := tokens(word):
                self._by_first.setdefault(found[0], set()).add(tuple(found))

    def are_in(self, text: str) -> bool:
        """Whether a text has any of them."""
        found = tokens(text) if self._by_first else []
        return any(tuple(found[at : at + len(word)]) == word for at, word in self._begun(found))

    def _begun(self, found: list[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
        return ((at, word) for at, token in enumerate(found) for word in self._by_first.get(token, ()))


def tokens(text: str) -> list[str]:
    """Words of a text and, of Chinese, letters; without case, width, and letters that nobody sees.

    >>> tokens("Ｆｒｅｅ_so\\u00adda 买bomb")
    ['free', 'soda', '买', 'bomb']
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    seen = folded if folded.isascii() else "".join(one for one in folded if unicodedata.category(one) != "Cf")
    return _TOKEN.findall(seen)
