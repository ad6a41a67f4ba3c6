"""`dataset.yaml`: where the three tables are, what their columns mean and what counts as a positive."""

from __future__ import annotations

import pathlib
from typing import Annotated, Literal

import pydantic
import yaml

from homefeed.schemas.errors import HomefeedError

FILE_NAME = "dataset.yaml"

TableName = Literal["interactions", "items", "users"]
TABLES: tuple[TableName, ...] = ("interactions", "items", "users")

Kind = Literal["id", "timestamp", "category", "categories", "number", "text", "embedding"]
"""What a column holds.

id: a string, never interpreted. timestamp: Unix seconds or ISO 8601, kept as int64 seconds. category: one
string from a small set. categories: several, `|`-separated or a list. number: float32. text: free text.
embedding: a list of `size` floats.
"""


Unit = Literal["s", "ms", "us", "ns", "date"]
"""Of times that are written as numbers: since 1970, or the digits of a date (2024, 20240131, 20240131235959)."""


class DatasetError(HomefeedError, ValueError):
    """The dataset cannot be used as described: a table, column or declaration is missing or wrong."""


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Feature(_Strict):
    """One column that the models may use."""

    kind: Kind
    required: bool = False
    domain: tuple[str, ...] | None = None  # The only values allowed (category, categories).
    min: float | None = None  # Inclusive bounds of a number.
    max: float | None = None
    size: int | None = None  # Length of an embedding.
    unit: Unit | None = None  # Of a timestamp's numbers. None: told from all of the column's.

    @pydantic.model_validator(mode="after")
    def _check(self) -> Feature:
        if (self.kind == "embedding") != (self.size is not None):
            raise ValueError("`size` belongs to kind `embedding`, and every embedding needs one")
        if self.unit is not None and self.kind != "timestamp":
            raise ValueError("`unit` belongs to kind `timestamp`")
        return self


STANDARD_COLUMNS: dict[TableName, dict[str, Feature]] = {
    "interactions": {
        "user_id": Feature(kind="id", required=True),
        "item_id": Feature(kind="id", required=True),
        "timestamp": Feature(kind="timestamp", required=True),
        "event_type": Feature(kind="category"),
        "value": Feature(kind="number"),
        "query": Feature(kind="text"),
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
}
"""The columns that homefeed knows by name; a table may lack any that is not required."""

KEYS: dict[TableName, str] = {"interactions": "user_id", "items": "item_id", "users": "user_id"}
"""The column by whose values a table's rows are grouped."""


def _text_encoding(name: str) -> str:
    try:
        "é".encode(name, "ignore")
    except LookupError as error:
        raise ValueError(f"there is no encoding {name!r} of text; utf-16, cp1252 and gb18030 are some") from error
    return name


class Table(_Strict):
    """One table: a file, a folder or a glob, local or any URI that Beam opens."""

    path: str
    format: Literal["csv", "tsv", "jsonl", "parquet"] | None = None  # None: told from the file's name.
    delimiter: Annotated[str, pydantic.Field(pattern=r"^[\t -~]$")] | None = None  # None: comma in CSV, tab in TSV.
    encoding: Annotated[str, pydantic.AfterValidator(_text_encoding)] = "utf-8"  # Python's name of it.
    header: tuple[str, ...] | None = None  # Names of the columns, of CSV and TSV without a line of them.
    columns: dict[str, str] = {}  # Our name → the name in the file, where they differ.
    features: dict[str, Feature] = {}  # Columns beyond the standard ones that the models may use.


class Positive(_Strict):
    """Which interactions count as liked: all of the conditions that are given must hold."""

    min_value: float | None = None
    event_types: tuple[str, ...] | None = None


class Dataset(_Strict):
    """A described dataset."""

    name: Annotated[str, pydantic.Field(pattern=r"^[\w.-]+$")]
    interactions: Table
    items: Table | None = None  # None: those that the interactions are with, by their ids alone.
    users: Table | None = None  # None: those who did something.
    positive: Positive = Positive()
    max_bad_fraction: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.01

    def table(self, name: TableName) -> Table:
        """The description of one of the three tables; of one that is not there, the interactions'."""
        table: Table | None = getattr(self, name)
        return self.interactions.model_copy(update={"features": {}}) if table is None else table

    def is_derived(self, name: TableName) -> bool:
        """Whether there is no such table, so that the ids in the interactions stand for it."""
        return getattr(self, name) is None

    def features(self, name: TableName) -> dict[str, Feature]:
        """Standard and declared columns of a table, by our names; a declaration overrides the standard."""
        if self.is_derived(name):
            return {KEYS[name]: STANDARD_COLUMNS[name][KEYS[name]]}
        return STANDARD_COLUMNS[name] | self.table(name).features


def load_dataset(data_dir: pathlib.Path | str) -> Dataset:
    """Reads and checks `dataset.yaml`.

    Raises:
        DatasetError: there is no such file, or it says something that is not understood (all of it is listed).
    """
    path = pathlib.Path(data_dir) / FILE_NAME
    if not path.is_file():
        raise DatasetError(f"{path} does not exist. `homefeed data sample --out DIR` shows what one looks like.")
    try:
        return Dataset.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, pydantic.ValidationError) as error:
        raise DatasetError(f"{path} is not a valid dataset description: {error}") from error
