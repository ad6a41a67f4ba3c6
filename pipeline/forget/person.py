"""Whom to forget, and how they are told apart from others with an id like theirs."""

from __future__ import annotations

import json
import re
from collections.abc import Collection

MIN_SEARCHED_BYTES = 6  # A shorter id ("17") is found in everything: it is removed where it is a whole `user_id`.


class Person:
    """Whom to forget: their id and its pseudonyms.

    Attributes:
        names: what they are called.
        namesakes: ids of others that contain one of the names, as `u-12` contains `u-1`; learnt from what is read.
    """

    def __init__(self, names: Collection[str]):
        self.names = frozenset(names)
        self.namesakes: set[str] = set()
        self._long = [name for name in self.names if len(name.encode()) >= MIN_SEARCHED_BYTES]
        self._words = re.compile("|".join(rf"(?<![\w-]){re.escape(name)}(?![\w-])" for name in self.names))

    def owns(self, user_id: str) -> bool:
        """Whether it is one of the names."""
        if user_id not in self.names and any(name in user_id for name in self.names):
            self.namesakes.add(user_id)
        return user_id in self.names

    def is_in_line(self, line: str) -> bool:
        """Whether a line of JSON is about them: by a `user_id`; by the text of a bad row; long ids by any text."""
        if any(name in self._words.findall(line) for name in self._long):
            return True
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            return False
        return isinstance(row, dict) and (
            row.get("user_id") in self.names or self.is_in_text(str(row.get("raw", "")))
        )

    def is_in_text(self, text: str) -> bool:
        """Whether one of the names is in a text as a word of its own."""
        return self._words.search(text) is not None

    def is_in_bytes(self, content: bytes) -> bool:
        """Whether one of the long names is in there, not counting those that are a part of another's."""
        if not any(name.encode() in content for name in self._long):
            return False
        for other in sorted(self.namesakes, key=len, reverse=True):
            content = content.replace(other.encode(), b"\0")
        return any(name.encode() in content for name in self._long)
