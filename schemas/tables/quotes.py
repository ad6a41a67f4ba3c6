"""Where a row of delimited text ends, and which of its quotes are more than characters."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

Verdict = Literal["value", "rows", "unclear"]

MOST = 0.9  # Share of a quoted value's lines that, looking like rows, are rows.
STRONG = 5  # Likeness to rows that text has not by chance.
MANY_LINES = 5  # Nor have so many lines of text, by chance, as many values as a row.


class Dialect:
    """How values stand in a row.

    A value in quotes (RFC 4180) may hold delimiters, doubled quotes and line ends. Quotes that do not enclose a whole
    value are characters like any other: `27" monitor`, `"Abbey Road`. So are those around a value that would swallow
    rows: one whose lines, after the first, are rows by themselves. Where only some look like rows, nobody can tell.

    Attributes:
        delimiter: one character.
        quoted: whether values may stand in quotes at all.
        num_columns: of a row.
    """

    def __init__(self, delimiter: str, quoted: bool, num_columns: int, likeness: Callable[[Sequence[str]], int]):
        """`likeness`: how much values, of the right number, look like those of a row; 0: not at all."""
        self.delimiter, self.quoted, self.num_columns = delimiter, quoted, num_columns
        self._likeness = likeness
        after = rf"(?={re.escape(delimiter)}|\r?\n|\r?\Z)"
        self._in_quotes = re.compile(rf'"([^"]*(?:""[^"]*)*)"{after}')
        self._still_open = re.compile(r'"[^"]*(?:""[^"]*)*\Z')
        self._plain = re.compile(rf"[^{re.escape(delimiter)}\n]*")

    def read(self, text: str, start: int, is_last: bool) -> tuple[list[str] | None, int]:
        """The values of the row that begins at `start`, and where the next one begins.

        The values are None where nobody can tell; where a quoted value may go on beyond the text, which can only be
        if it is not the last, the next row begins where this one does.
        """
        line_end = text.find("\n", start) + 1 or len(text)
        if not self.quoted or text.find('"', start, line_end) < 0:
            return self.cells(text[start:line_end]), line_end
        values, end = self._values(text, start, len(text), is_last)
        if end > line_end:
            verdict = self._judge(text[start:end].removesuffix("\n").split("\n"))
            if verdict == "unclear":
                return None, end
            if verdict == "rows":
                values, end = self._values(text, start, line_end, True)
        if len(values) != self.num_columns and end == line_end:
            literal = self.cells(text[start:end])
            values = literal if len(literal) == self.num_columns else values
        return values, end

    def names(self, text: str) -> tuple[list[str], int]:
        """The values of the first row, in quotes or not, and where the next one begins."""
        return self._values(text, 0, len(text), True)

    def cells(self, line: str) -> list[str]:
        """What stands between the delimiters of a line, quotes and all."""
        return line.removesuffix("\n").removesuffix("\r").split(self.delimiter)

    def _values(self, text: str, start: int, stop: int, is_last: bool) -> tuple[list[str], int]:
        """Takes every quote that may enclose a value for one that does, up to `stop`."""
        values: list[str] = []
        at = start
        while True:
            opens = text.startswith('"', at, stop)
            match = self._in_quotes.match(text, at, stop) if opens else None
            if match:
                values.append(match[1].replace('""', '"'))
                at = match.end()
            elif opens and not is_last and self._still_open.match(text, at):
                return [], start
            else:
                plain = self._plain.match(text, at, stop)
                assert plain is not None  # It may be empty.
                values.append(plain[0])
                at = plain.end()
            if not text.startswith(self.delimiter, at, stop):
                break
            at += 1
        if not match:
            values[-1] = values[-1].removesuffix("\r")
        elif text.startswith("\r", at, stop):
            at += 1
        return values, min(at + 1, stop)

    def _judge(self, lines: Sequence[str]) -> Verdict:
        """Whether the lines of a quoted value are one, or rows of their own."""
        fits = [line.count(self.delimiter) == self.num_columns - 1 for line in lines]
        if not any(fits[1:]):
            return "value"
        # The first line is the beginning of a row in any case.
        likeness = [
            self._likeness([cell.strip('"') for cell in self.cells(line)]) if fit else 0
            for line, fit in zip(lines[1:], fits[1:], strict=True)
        ]
        share = sum(map(bool, likeness)) / len(likeness)
        if share >= MOST and sum(likeness) >= STRONG:
            return "rows"
        is_doubtful = share > 0.5 or max(likeness) >= STRONG or (all(fits) and len(fits) >= MANY_LINES)
        return "unclear" if is_doubtful else "value"
