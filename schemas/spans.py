"""Spans and versions: `{SPAN}` and `{VERSION}` in a table's path, so that a daily drop is one more folder.

`logs/{SPAN}/v{VERSION}/*.csv` matches `logs/2025-01-31/v2/part-0.csv`. Spans are numbers or dates, in that order;
of each span, only the highest version is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from homefeed.schemas.dataset import DatasetError

SPAN, VERSION = "{SPAN}", "{VERSION}"
LEDGER = "retraining.json"
"""What `homefeed retrain` keeps in a root: the verdict on each span, and each retraining."""


def as_glob(pattern: str) -> str:
    """The glob that finds every span and version."""
    return pattern.replace(SPAN, "*").replace(VERSION, "*")


def is_wanted(text: str) -> bool:
    """Whether `select` understands it.

    >>> [is_wanted(text) for text in ("", "7", "3:7,last:2", "2025-01-31:", "1:2:3", "last:0", ":", "7,,8")]
    [True, True, True, True, False, False, False, False]
    """
    one = r"last:[1-9]\d*|(?!last:)[^:,]+|(?!last:)[^:,]+:[^:,]*|:[^:,]+"
    return not text or all(re.fullmatch(one, part.strip()) for part in text.split(","))


def select(paths: Iterable[str], pattern: str, wanted: str = "") -> list[str]:
    """The files of the wanted spans, earlier spans first, each in its newest version.

    Args:
        paths: what `as_glob(pattern)` matched.
        pattern: with `{SPAN}`; without it, every path is taken.
        wanted: a span (`7`); a range with both ends (`3:7`), an end left out being open (`3:`, `:7`); the last n
            (`last:3`); several of these, with commas between; or all, if empty.

    Raises:
        DatasetError: there is no such span.

    >>> select(["d/1/a.csv", "d/10/a.csv", "d/9/a.csv"], "d/{SPAN}/a.csv", "last:2")
    ['d/9/a.csv', 'd/10/a.csv']
    """
    if SPAN not in pattern:
        return sorted(paths)
    found = _find(paths, pattern)
    spans = sorted({span for span, _, _ in found}, key=_order)
    picked = {span for part in wanted.split(",") for span in _choose(spans, part.strip())}
    chosen = [span for span in spans if span in picked]
    if not chosen:
        raise DatasetError(f"No span {wanted or 'at all'} at {pattern}. Spans there: {', '.join(spans) or 'none'}.")
    newest = {span: max((v for s, v, _ in found if s == span), key=_order) for span in chosen}
    kept = [(chosen.index(s), path) for s, version, path in found if newest.get(s) == version]
    return [path for _, path in sorted(kept)]


def names(paths: Iterable[str], pattern: str) -> list[str]:
    """The spans that some paths belong to, earlier ones first; none without `{SPAN}` in the pattern.

    >>> names(["d/10/a.csv", "d/9/a.csv", "d/9/b.csv"], "d/{SPAN}/*.csv")
    ['9', '10']
    """
    return sorted({span for span, _, _ in _find(paths, pattern)}, key=_order) if SPAN in pattern else []


def _find(paths: Iterable[str], pattern: str) -> list[tuple[str, str, str]]:
    """(span, version, path) of each path that has them."""
    where = _regex(pattern)
    return [
        (match.group("span"), match.groupdict().get("version") or "", path)
        for path in paths
        if (match := where.fullmatch(path))
    ]


def _regex(pattern: str) -> re.Pattern[str]:
    """Of the paths that a pattern means: as globs do, and a folder stands for all that is below it."""
    names = {SPAN: r"(?P<span>[^/]+)", VERSION: r"(?P<version>[^/]+)", "*": "[^/]*", "**/": "(?:.*/)?", "**": ".*"}
    seen: set[str] = set()
    out = ""
    for part in re.split(r"(\{SPAN\}|\{VERSION\}|\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern.rstrip("/")):
        name = part.strip("{}").lower()
        if part in seen:
            out += f"(?P={name})"
        elif part == "?" or part.startswith("["):
            out += "[^/]" if part == "?" else part.replace("[!", "[^")
        else:
            out += names.get(part, re.escape(part))
        if part in (SPAN, VERSION):
            seen.add(part)
    return re.compile(f"{out}(?:/.*)?")


def _choose(spans: list[str], wanted: str) -> list[str]:
    if not wanted:
        return spans
    if wanted.startswith("last:"):
        return spans[-int(wanted.removeprefix("last:")) :]
    if ":" not in wanted:
        return [span for span in spans if _order(span) == _order(wanted)]
    low, high = wanted.split(":", 1)
    return [s for s in spans if (not low or _order(low) <= _order(s)) and (not high or _order(s) <= _order(high))]


def _order(name: str) -> tuple[int, int, str]:
    """Numbers by their size, before names by their letters (dates sort as they should)."""
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)
