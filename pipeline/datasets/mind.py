"""MIND: news, and which of those on a page were clicked, of a million readers (Wu et al., 2020).

Its licence (Microsoft Research License Terms) allows research and no commercial use, and no redistribution.
"""

from __future__ import annotations

import calendar
import pathlib
import time
from collections.abc import Iterator, Sequence

from homefeed.pipeline.datasets.on_disk import fields, find, write_dataset

LICENCE = "MIND: for research, not for commercial use, not to be redistributed (Microsoft Research License Terms)."
DESCRIPTION = """\
# MIND, https://msnews.github.io (research use; not to be redistributed). Where a page had its news is not known: MIND
# shuffles them. The clicks of a reader's history have no times: they stand a second apart before the first page.
name: mind
interactions:
  path: interactions.csv
items:
  path: items.csv
exposures:
  path: exposures.csv
"""
Interaction = tuple[str, str, int]
Exposure = tuple[str, str, str, int, str]


def write_mind(out_dir: pathlib.Path | str, source: pathlib.Path | str) -> str:
    """Makes interactions, exposures and items of `behaviors.tsv` and `news.tsv`, of one part (train, dev) or several.

    Pages whose clicks are not published, as those of MIND's test part, are left out.

    Args:
        out_dir: gets the tables and `dataset.yaml`.
        source: folder of the unpacked archives.

    Returns:
        What was made, for people.

    Raises:
        DatasetError: the folder or a file is not there.
    """
    behaviors, news = find(source, "behaviors.tsv"), find(source, "news.tsv")
    tables = {
        "interactions": (("user_id", "item_id", "timestamp"), _interactions(behaviors)),
        "exposures": (("impression_id", "user_id", "item_id", "timestamp", "clicked"), _exposures(behaviors)),
        "items": (("item_id", "title", "description", "categories"), _items(news)),
    }
    counts = write_dataset(out_dir, DESCRIPTION, tables)
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _pages(behaviors: Sequence[pathlib.Path]) -> Iterator[tuple[str, str, int, list[str], list[tuple[str, str]]]]:
    """Id, reader, second, history, and (news, clicked) of each page; ids of different parts differ."""
    for number, path in enumerate(behaviors):
        for page, user, moment, history, shown in fields(path, "\t"):
            pairs = [(item, clicked) for item, _, clicked in (text.rpartition("-") for text in shown.split())]
            if all(clicked in ("0", "1") for _, clicked in pairs):
                yield f"{number}-{page}", user, _second(moment), history.split(), pairs


def _interactions(behaviors: Sequence[pathlib.Path]) -> Iterator[Interaction]:
    first: dict[str, tuple[int, list[str]]] = {}
    for _, user, second, history, _ in _pages(behaviors):
        if user not in first or second < first[user][0]:
            first[user] = second, history
    for user, (second, history) in first.items():
        yield from ((user, item, second - len(history) + place) for place, item in enumerate(history))
    for _, user, second, _, shown in _pages(behaviors):
        yield from ((user, item, second) for item, clicked in shown if clicked == "1")


def _exposures(behaviors: Sequence[pathlib.Path]) -> Iterator[Exposure]:
    for page, user, second, _, shown in _pages(behaviors):
        yield from ((page, user, item, second, clicked) for item, clicked in shown)


def _items(news: Sequence[pathlib.Path]) -> Iterator[tuple[str, str, str, str]]:
    """From id, category, subcategory, title, abstract, URL and entities; parts share most of their news."""
    known: set[str] = set()
    for path in news:
        for item, category, subcategory, title, abstract, *_ in fields(path, "\t"):
            if item not in known:
                known.add(item)
                yield item, title, abstract, f"{category}|{subcategory}"


def _second(moment: str) -> int:
    """Of "11/15/2019 8:55:22 AM", which says nothing of a zone."""
    return calendar.timegm(time.strptime(moment, "%m/%d/%Y %I:%M:%S %p"))
