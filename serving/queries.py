"""Text queries as token ids, with the vocabulary that the retrieval model carries."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Sequence

VOCABULARY_FILE = pathlib.Path("assets") / "vocab.txt"
MAX_TOKENS = 32

Tokenize = Callable[[str], Sequence[int]]


def query_tokenizer(saved_model: pathlib.Path) -> Tokenize:
    """Text → token ids, for `Request.query_token_ids`; nothing is read before the first query.

    Args:
        saved_model: a version of the retrieval model.
    """

    @functools.cache
    def word_piece() -> Callable[[str], list[int]]:
        from homefeed_client import WordPiece

        return WordPiece.from_file(saved_model / VOCABULARY_FILE).token_ids

    return lambda text: word_piece()(text)[:MAX_TOKENS] if text.strip() else ()
