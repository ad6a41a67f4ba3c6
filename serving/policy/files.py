"""Files that a file of rules names: lists of values, a line each, and verdicts on items."""

from __future__ import annotations

import hashlib
import os
import pathlib
from typing import Any

from homefeed.schemas.words import shown
from homefeed.serving.policy.conditions import Lines
from homefeed.serving.policy.errors import PolicyError
from homefeed.serving.policy.reviews import parse_reviews

MAX_BYTES = 256 << 20
MAX_TRIES = 3  # Of a file that is being written.
Mark = tuple[int, int, int] | None
"""Of a file: when it was written, which one it is, and its size."""
_FILE, _REVIEWS = "file", "reviews"


class Files:
    """Reads what rules name.

    Args:
        folder: of the file of rules.

    Attributes:
        contents: path → content, of all that were read.
        marks: path → the file that was read; None: there was none.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self.contents: dict[pathlib.Path, bytes] = {}
        self.marks: dict[pathlib.Path, Mark] = {}

    @property
    def versions(self) -> dict[str, str]:
        """Name of each file that was read, from the folder → version of its content."""
        return {str(path.relative_to(self._folder)): version_of(held) for path, held in self.contents.items()}

    def put_in(self, said: Any) -> Any:
        """What a rule says, with `{file: NAME}` as the file's lines, and the file of `reviews` as what was accepted.

        Raises:
            PolicyError: a file cannot be read.
        """
        if isinstance(said, dict) and isinstance(said.get(_REVIEWS), str):
            said = said | {_REVIEWS: self._accepted(said[_REVIEWS])}
        if isinstance(said, dict) and said.keys() == {_FILE}:
            return self._lines(said[_FILE])
        return {name: self.put_in(value) for name, value in said.items()} if isinstance(said, dict) else said

    def _lines(self, name: Any) -> Lines:
        """The lines that hold something; what follows a `#` and a blank is a comment."""
        if not isinstance(name, str):
            raise PolicyError(f"file: expected the name of a file, got {shown(name)}")
        path = self._place(name)
        try:
            text = self._content(path).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyError(f"{path} cannot be read: {error}; expected a value a line") from error
        lines = (line.partition(" #")[0].strip() for line in text.splitlines())
        return Lines(dict.fromkeys(line for line in lines if line and not line.startswith("# ")))

    def _accepted(self, name: str) -> frozenset[str]:
        path = self._place(name)
        try:
            found = parse_reviews(path, self._content(path))
        except FileNotFoundError:  # Nobody has decided yet.
            self.contents[path], self.marks[path] = b"", None
            return frozenset()
        except OSError as error:
            raise PolicyError(f"{path} cannot be read: {error}; expected a line of JSON for each verdict") from error
        return frozenset(item_id for item_id, verdict in found.items() if verdict == "accepted")

    def _place(self, name: str) -> pathlib.Path:
        """Where a file is. Who may change rules need not be allowed to read all that the gateway can."""
        path = self._folder / os.path.normpath(name)
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise PolicyError(f"{shown(name)} is not in the folder of the rules, nor below; put the file there")
        if path.exists() and not (path.is_file() and path.stat().st_size <= MAX_BYTES):
            raise PolicyError(f"{shown(name)} is no file of at most {MAX_BYTES >> 20} MiB; expected lines of text")
        return path

    def _content(self, path: pathlib.Path) -> bytes:
        if path not in self.contents:
            self.contents[path], self.marks[path] = read_marked(path)
        return self.contents[path]


def version_of(content: bytes | str) -> str:
    """What a content is called where versions are told."""
    return hashlib.sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()[:12]


def mark_of(path: pathlib.Path) -> Mark:
    """Tells a file from what it was, or will be, under the same name; None: there is none."""
    try:
        return _mark(path.stat())
    except OSError:
        return None


def read_marked(path: pathlib.Path) -> tuple[bytes, Mark]:
    """What a file holds, and the mark of just that: what is written meanwhile makes it another one.

    Raises:
        OSError: it cannot be read.
    """
    for _ in range(MAX_TRIES):
        with path.open("rb") as file:
            before = _mark(os.fstat(file.fileno()))
            content = file.read()
            if before == _mark(os.fstat(file.fileno())):
                break
    return content, before


def _mark(found: os.stat_result) -> Mark:
    return found.st_mtime_ns, found.st_ino, found.st_size
