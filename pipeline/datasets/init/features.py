"""What columns that homefeed does not know by name hold, and which events count as liked."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from homefeed.pipeline.datasets.init.look import Column
from homefeed.pipeline.datasets.init.roles import skeleton
from homefeed.schemas.columns import MODEL_KINDS, Kind, TableName

MAX_CATEGORIES = 5_000
MAX_OF_EVENTS = 200  # Different values of what describes an event: one with more names people, orders or things.
FEW_NUMBERS = 12  # Different whole numbers that are codes, if the name says so.
MIN_WORDS = 4  # On average: a text.
_CODE = re.compile(
    ".*(id|code|no|nr|number|type|class|group|level|status|flag|zip|zipcode|postcode|postal|区|类型|级别|编码|编号|号)"
)
_LINK = re.compile(r"(https?://|www\.|<[a-z]+|/[\w/]+\.(jpg|png|html?))", re.IGNORECASE)
_ONLY_SEEN = "view|pageview|page_view|pv|impression|shown|exposure|show|scroll|open|visit|浏览|曝光|search|query"
_AGAINST = (
    "(un|dis)?(hide|skip|dislike|unlike|remove.*|delete.*|return|refund|report|block|not_?for_?me|cancel.*)|"
    "不喜欢|取消.*|退货"
)
SHARES = (0.2, 0.75)  # Of events that count as liked, if possible.


def kind_of(column: Column, table: TableName) -> tuple[Kind | None, str]:
    """What a column is declared as; None, and why it is left out."""
    kind, why = _kind_of(column)
    if kind == "category" and table == "interactions" and len(column.counts) > MAX_OF_EVENTS:
        return None, "too many values for a property of events"
    if kind is not None and kind not in MODEL_KINDS[table]:
        return None, f"{kind} of {table} reaches no model"
    return kind, why


def _kind_of(column: Column) -> tuple[Kind | None, str]:
    distinct, number = len(column.counts), len(column.texts)
    if column.filled < 0.05:
        return None, "nearly empty"
    if distinct < 2:
        return None, "always the same"
    if column.is_list:
        return ("categories", "") if distinct <= MAX_CATEGORIES else (None, "lists of too many values")
    if np.mean([bool(_LINK.match(text)) for text in list(column.counts)[:1_000]]) > 0.5:
        return None, "addresses"
    if column.seconds is not None:
        return None, "a time"
    if column.numbers is not None:
        is_whole = bool((column.numbers % 1 == 0).all())
        if is_whole and _CODE.fullmatch(skeleton(column.name)):
            return _category(distinct, number)
        return (
            ("category", "") if is_whole and distinct <= FEW_NUMBERS and column.numbers.min() >= 0 else ("number", "")
        )
    words = np.mean([len(text.split()) if text.isascii() else len(text) / 2 for text in column.some])
    if distinct > 0.5 * number:
        return ("text", "") if words >= MIN_WORDS else (None, "a name of each row")
    return _category(distinct, number)


def _category(distinct: int, number: int) -> tuple[Kind | None, str]:
    if distinct > min(MAX_CATEGORIES, 0.5 * number):
        return None, "too many values to learn from"
    return "category", ""


def liked_types(types: Column) -> list[str]:
    """Event types that count as liked: all but those that only saw something, or speak against it; none if all do."""
    found = [kind for kind, _ in types.counts.most_common() if not re.fullmatch(_ONLY_SEEN, kind.casefold())]
    found = [kind for kind in found if not re.fullmatch(_AGAINST, kind.casefold())]
    return found if len(found) < len(types.counts) else []


def liked_from(ratings: Column) -> float | None:
    """The smallest rating that counts as liked: about half of the events have it; None: all are alike."""
    numbers = ratings.numbers
    if numbers is None or len(np.unique(numbers)) < 2:
        return None
    levels = np.unique(numbers)
    if len(levels) > 50:
        return float(np.median(numbers))
    shares: Iterable[float] = ((numbers >= level).mean() for level in levels)
    best = min(
        zip(levels, shares, strict=True), key=lambda one: (not SHARES[0] <= one[1] <= SHARES[1], abs(one[1] - 0.5))
    )
    return float(best[0])
