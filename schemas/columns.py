"""The tables and columns that homefeed knows by name, and what a column may hold."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

TableName = Literal["interactions", "items", "users", "exposures", "relations", "knowledge"]
TABLES: tuple[TableName, ...] = ("interactions", "items", "users")
"""Those that every dataset has; see `Dataset.tables`."""
OPTIONAL: tuple[TableName, ...] = ("exposures", "relations", "knowledge")
"""Those that a dataset may have; where they are by span, spans may lack them."""

Kind = Literal["id", "timestamp", "category", "categories", "number", "text", "embedding"]
"""What a column holds.

id: a string, never interpreted. timestamp: Unix seconds or ISO 8601, kept as int64 seconds. category: one
string from a small set. categories: several, `|`-separated or a list. number: float32. text: free text.
embedding: a list of `size` floats.
"""


Unit = Literal["s", "ms", "us", "ns", "date"]
"""Of times that are written as numbers: since 1970, or the digits of a date (2024, 20240131, 20240131235959)."""


class Strict(pydantic.BaseModel):
    """Part of a description, of which nothing may be misspelt."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


Filled = Annotated[str, pydantic.Field(min_length=1)]
Several = Annotated[tuple[str, ...], pydantic.Field(min_length=1)]


class Feature(Strict):
    """One column that the models may use."""

    kind: Kind  # What the column holds.
    required: bool = False  # A row without it is bad.
    domain: Several | None = None  # The only values allowed (category, categories).
    min: float | None = None  # The smallest number allowed.
    max: float | None = None  # The largest number allowed.
    size: Annotated[int, pydantic.Field(ge=1)] | None = None  # Length of an embedding.
    context: bool = False  # Of an event: known when a list is asked for, as the device is and the price paid is not.
    guard: bool = False  # Of a user: no group that it makes may fare worse than the Evaluator's margins allow.
    unit: Unit | None = None  # Of a timestamp's numbers. None: told from all of the column's.

    @pydantic.model_validator(mode="after")
    def _check(self) -> Feature:
        if (self.kind == "embedding") != (self.size is not None):
            raise ValueError("`size` belongs to kind `embedding`, and every embedding needs one")
        if self.unit is not None and self.kind != "timestamp":
            raise ValueError("`unit` belongs to kind `timestamp`")
        if (self.min is not None or self.max is not None) and self.kind != "number":
            raise ValueError("`min` and `max` belong to kind `number`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("`min` is above `max`")
        if self.domain is not None and self.kind not in ("category", "categories"):
            raise ValueError("`domain` belongs to the kinds `category` and `categories`")
        return self


STANDARD_COLUMNS: dict[TableName, dict[str, Feature]] = {
    "interactions": {
        "user_id": Feature(kind="id", required=True),
        "item_id": Feature(kind="id", required=True),
        "timestamp": Feature(kind="timestamp", required=True),
        "event_type": Feature(kind="category"),
        "value": Feature(kind="number"),
        "query": Feature(kind="text"),
        "event_id": Feature(kind="id"),
        "impression_id": Feature(kind="id"),
        "position": Feature(kind="number"),
        "propensity": Feature(kind="number", min=0, max=1),
    },
    "items": {
        "item_id": Feature(kind="id", required=True),
        "title": Feature(kind="text"),
        "description": Feature(kind="text"),
        "categories": Feature(kind="categories"),
        "language": Feature(kind="category"),
        "available_from": Feature(kind="timestamp"),
    },
    "users": {"user_id": Feature(kind="id", required=True)},
    "exposures": {
        "impression_id": Feature(kind="id", required=True),
        "user_id": Feature(kind="id", required=True),
        "item_id": Feature(kind="id", required=True),
        "timestamp": Feature(kind="timestamp", required=True),
        "position": Feature(kind="number", min=0),
        "propensity": Feature(kind="number", min=0, max=1),
        "clicked": Feature(kind="number", min=0, max=1),
    },
    "relations": {
        "user_id": Feature(kind="id", required=True),
        "other_id": Feature(kind="id", required=True),
        "kind": Feature(kind="category"),
    },
    "knowledge": {
        "item_id": Feature(kind="id", required=True),
        "relation": Feature(kind="category", required=True),
        "value": Feature(kind="category", required=True),
    },
}
"""The columns that homefeed knows by name; a table may lack any that is not required."""

KEYS: dict[TableName, str] = {
    "interactions": "user_id",
    "items": "item_id",
    "users": "user_id",
    "exposures": "user_id",
    "relations": "user_id",
    "knowledge": "item_id",
}
"""The column by whose values a table's rows are grouped."""

OF_EXPOSURES = ("impression_id", "position", "propensity")
"""Columns of the interactions that tell of what was shown: nothing reads them where there are no exposures."""

TRACES = ("event_id", *OF_EXPOSURES)
"""Columns of the interactions that say which event and which page it was: they differ by nature, and do not drift."""

DERIVED: dict[TableName, tuple[str, ...]] = {
    "interactions": (),
    "items": ("item_id", "title"),
    "users": ("user_id",),
    "exposures": ("user_id", "item_id", "timestamp", "event_type", *OF_EXPOSURES),
    "relations": (),
    "knowledge": (),
}
"""Columns of a table that is not there, as far as the interactions have them."""


MODEL_KINDS: dict[TableName, tuple[Kind, ...]] = {
    "interactions": ("category", "number"),
    "items": ("category", "categories", "number", "embedding", "text"),
    "users": ("category", "categories", "number", "embedding"),
    "exposures": (),
    "relations": (),
    "knowledge": ("categories",),
}
"""The kinds of declared columns that reach a model; others are refused, or they would be read for nothing."""

GUARDED_KINDS: tuple[Kind, ...] = ("category", "categories", "number")
EVENT_FEATURES = ("event_type", "value")
"""Standard columns of an interaction that describe the event, as the declared ones do."""

LOCAL_TIME = ("hour", "weekday")
"""What a declared time zone makes of every time: contexts that no column holds."""
