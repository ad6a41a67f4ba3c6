"""`dataset.yaml`: where the tables are, what their columns mean, what is liked, and what lists are for."""

from __future__ import annotations

import difflib
import pathlib
import re
import zoneinfo
from collections.abc import Collection
from typing import Annotated, Literal

import pydantic
import yaml

from homefeed.schemas import text_yaml
from homefeed.schemas.errors import HomefeedError
from homefeed.schemas.objectives import DECLARED, INTERACTIONS, OBJECTIVES, Values, objective_faults, read_objective
from homefeed.schemas.words import explain, same_but_capitals

FILE_NAME = "dataset.yaml"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")  # What TensorFlow takes as the name of an input.

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


class DatasetError(HomefeedError, ValueError):
    """The dataset cannot be used as described: a table, column or declaration is missing or wrong."""


class UnreachableError(DatasetError):
    """Nothing can be read now: for want of a disk, a network, a right or a key, which says nothing of the data."""


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


Filled = Annotated[str, pydantic.Field(min_length=1)]
Several = Annotated[tuple[str, ...], pydantic.Field(min_length=1)]


class Feature(_Strict):
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


def _text_encoding(name: str) -> str:
    try:
        "é".encode(name, "ignore")
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"there is no encoding {name!r} of text; utf-16, cp1252 and gb18030 are some") from error
    return name


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


class Table(_Strict):
    """One table: a file, a folder or a glob, local or any URI that Beam opens."""

    path: Filled  # From the folder of dataset.yaml, or a URI; {SPAN} and {VERSION} stand for deliveries.
    format: Literal["csv", "tsv", "jsonl", "parquet"] | None = None  # None: told from the file's name.
    delimiter: Annotated[str, pydantic.Field(pattern=r"^[\t -~]$")] | None = None  # None: comma in CSV, tab in TSV.
    encoding: Annotated[str, pydantic.AfterValidator(_text_encoding)] = "utf-8"  # Python's name of it.
    header: Several | None = None  # Names of the columns, of CSV and TSV without a line of them.
    columns: dict[str, str] = {}  # Our name → the name in the file, where they differ.
    features: dict[str, Feature] = {}  # Columns beyond the standard ones that the models may use.


class Relations(Table):
    """Who is related to whom: each row from a user to another."""

    kinds: Several | None = None  # Of the column `kind`: those that count. None: all, also rows without one.


class Positive(_Strict):
    """Which interactions count as liked: all of the conditions that are given must hold."""

    min_value: float | None = None  # The smallest value that is liked.
    event_types: Several | None = None  # The types of events that are.


class Dataset(_Strict):
    """A described dataset."""

    name: Annotated[str, pydantic.Field(pattern=r"^[\w.-]+$")]  # Of the dataset; runs are recorded under it.
    interactions: Table  # Who did what, and when.
    items: Table | None = None  # What can be recommended. None: those that the interactions are with.
    users: Table | None = None  # Who is recommended to. None: those who did something.
    exposures: Table | None = None  # What was shown, which is no interaction.
    relations: Relations | None = None  # From users to others, whose choices their pages may show.
    knowledge: Table | None = None  # Facts on items; its `features` are the relations that items get as columns.
    shown: Several | None = None  # Types of events that say so too, where exposures are rows of the interactions.
    positive: Positive = Positive()  # Which interactions count as liked.
    # What lists are sorted for: a name, or the worth of each outcome.
    # None: likes where `positive` is declared, else interactions.
    objective: Annotated[str | Values | None, pydantic.BeforeValidator(read_objective)] = None
    rules: Filled | None = None  # File of rules beside this one: what they `deny` or `hold`, models do not find.
    time_zone: str | None = None  # Of the people, such as Asia/Shanghai: hour and weekday become contexts.
    # The run stops where a table loses a larger share of its rows to quarantine.
    max_bad_fraction: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.01
    # The run stops where a larger share of the events has items, or users, that their own table lacks.
    max_unmatched_fraction: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.1

    @pydantic.model_validator(mode="after")
    def _check(self) -> Dataset:
        # A title of items that have no table of their own is a column of the interactions, whatever it is called.
        others = {"interactions": [c for c in DERIVED["items"] if self.is_derived("items")]}
        faults = [
            f
            for name in self.tables
            if not self.is_derived(name)
            for f in _without_effect(name, self.table(name), others.get(name, ()))
        ]
        faults += [*self._faults_of_exposures(), *_faults_of_knowledge(self)]
        if self.time_zone is not None:
            if self.time_zone not in zoneinfo.available_timezones():
                faults.append(f"time_zone: {self.time_zone!r} is no IANA time zone such as Asia/Shanghai")
            faults += [
                f"interactions.features.{name}: `time_zone` derives it from the time; leave out one of the two"
                for name in LOCAL_TIME
                if name in self.interactions.features
            ]
        faults += self._faults_of_objective()
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _faults_of_exposures(self) -> list[str]:
        if self.shown is None:
            return []
        liked = sorted({*self.shown} & {*(self.positive.event_types or ())})
        faults = [f"shown: {', '.join(liked)} cannot be what is shown and what is liked"] if liked else []
        if self.exposures is not None:
            faults.append("shown: the table `exposures` says what was shown; leave out one of the two")
        return faults

    def _faults_of_objective(self) -> list[str]:
        if self.objective is None:
            return []
        values, types = next(iter(self.objectives.values())), self.event_features["event_type"].domain
        numbers = [name for name, feature in self.features("items").items() if feature.kind == "number"]
        return [*objective_faults(values, self.positive != Positive(), types, numbers)]

    @property
    def tables(self) -> tuple[TableName, ...]:
        """What is read: the three tables, and the optional ones that are described; exposures may be `shown`, too."""
        are_shown = self.shown is not None
        return (*TABLES, *(name for name in OPTIONAL if getattr(self, name) or (are_shown and name == "exposures")))

    @property
    def facts(self) -> dict[str, Feature]:
        """The relations of `knowledge` that are used: each is a column of items with several values."""
        known = self.knowledge.features if self.knowledge else {}
        return {name: feature for name, feature in known.items() if name not in STANDARD_COLUMNS["knowledge"]}

    @property
    def objectives(self) -> dict[str, Values]:
        """Name → values of what a list can be sorted for; the first is the default."""
        known: dict[str, Values] = {INTERACTIONS: OBJECTIVES[INTERACTIONS]}
        if self.positive != Positive():
            known["likes"] = OBJECTIVES["likes"]
        asked = list(known)[-1] if self.objective is None else self.objective
        if isinstance(asked, str):
            return {asked: OBJECTIVES[asked]} | known
        return {DECLARED: asked} | known

    def table(self, name: TableName) -> Table:
        """The description of one of the tables; of one that is not there, the interactions'."""
        table: Table | None = getattr(self, name)
        return self.interactions.model_copy(update={"features": {}}) if table is None else table

    def is_derived(self, name: TableName) -> bool:
        """Whether there is no such table, so that the ids in the interactions stand for it."""
        return getattr(self, name) is None

    def features(self, name: TableName) -> dict[str, Feature]:
        """The columns of a table as everything behind ExampleGen sees it: those of items with the facts on them."""
        return self.columns(name) | (self.facts if name == "items" else {})

    def columns(self, name: TableName) -> dict[str, Feature]:
        """Standard and declared columns of a table's files, by our names; a declaration overrides the standard."""
        if self.is_derived(name):
            known = STANDARD_COLUMNS[name] | self.features("interactions")
            required = {column for column in DERIVED[name] if _is_required(name, column)} | {"event_type"}
            return {
                column: known[column].model_copy(update={"required": column in required}) for column in DERIVED[name]
            }
        features = STANDARD_COLUMNS[name] | self.table(name).features
        must_be = {column for column in features if _is_required(name, column)}
        must_be |= {"kind"} if name == "relations" and self.relations and self.relations.kinds else set()
        return {
            column: feature.model_copy(update={"required": feature.required or column in must_be})
            for column, feature in features.items()
            if name != "knowledge" or column not in self.facts
        }

    @property
    def event_features(self) -> dict[str, Feature]:
        """What describes an event beside its item and its time: event type, value and every declared column."""
        declared = {
            name: f for name, f in self.interactions.features.items() if name not in STANDARD_COLUMNS["interactions"]
        }
        return {name: self.features("interactions")[name] for name in EVENT_FEATURES} | declared


def _is_required(name: TableName, column: str) -> bool:
    return column in STANDARD_COLUMNS[name] and STANDARD_COLUMNS[name][column].required


def _faults_of_knowledge(dataset: Dataset) -> list[str]:
    """Relations that are none, or would be two columns of one name."""
    if dataset.knowledge is None:
        return []
    if not dataset.facts:
        return ["knowledge: it has no relation to read; declare some: `features: {series: {kind: categories}}`"]
    also = dataset.facts.keys() & dataset.columns("items").keys()
    more = {n: sorted(f.model_fields_set - {"kind"}) for n, f in dataset.facts.items()}
    return [
        f"knowledge.features.{name}: items have a column of this name; leave out one of the two"
        for name in sorted(also)
    ] + [
        f"knowledge.features.{n}: leave out {', '.join(m)}: a relation has a kind alone" for n, m in more.items() if m
    ]


def _without_effect(table: TableName, described: Table, others: Collection[str] = ()) -> list[str]:
    """Declarations without an effect, or with another one than the models count on, each with the reason."""
    faults, standard = [], STANDARD_COLUMNS[table]
    for name, feature in described.features.items():
        is_standard = name in standard
        if is_standard and feature.kind != standard[name].kind:
            faults.append(f"{table}.features.{name}: it is of kind {standard[name].kind!r} in every dataset")
        if not is_standard and feature.kind not in MODEL_KINDS[table]:
            known = ", ".join(MODEL_KINDS[table])
            faults.append(
                f"{table}.features.{name}: no model reads the kind {feature.kind!r} of {table}; "
                + (f"declare it as one of {known}, or leave it out" if known else "leave it out")
            )
        if feature.context and (table != "interactions" or (is_standard and name not in EVENT_FEATURES)):
            faults.append(f"{table}.features.{name}: `context` is for declared columns of interactions")
        if feature.guard and (table != "users" or feature.kind not in GUARDED_KINDS):
            faults.append(f"{table}.features.{name}: `guard` is for users' {' and '.join(GUARDED_KINDS)} features")
        if not _NAME.fullmatch(name):
            faults.append(
                f"{table}.features.{name}: a model's inputs need names of letters a to z, digits and _; give it one: "
                f"`columns: {{feature: {name}}}`, `features: {{feature: …}}`"
            )
    faults += [
        f"{table}.features.{name}: only capitals tell it from {other!r}, and inputs of models have none; give it "
        f"another name: `columns: {{feature: {name}}}`, `features: {{feature: …}}`"
        for name, other in same_but_capitals([*standard, *described.features]).items()
    ]
    known_names = [*standard, *described.features, *others]
    for name in sorted(described.columns.keys() - set(known_names)):
        like = difflib.get_close_matches(name, known_names, 1) or known_names
        faults.append(f"{table}.columns.{name}: no column has this name on our side; did you mean {', '.join(like)}?")
    return faults


def load_dataset(data_dir: pathlib.Path | str) -> Dataset:
    """Reads and checks `dataset.yaml`.

    Raises:
        DatasetError: there is no such file, or it says something that is not understood (all of it is listed).
    """
    path = pathlib.Path(data_dir) / FILE_NAME
    if not path.is_file():
        raise DatasetError(f"{path} does not exist. `homefeed data sample --out DIR` shows what one looks like.")
    try:
        said = text_yaml.load(path.read_text(encoding="utf-8"))
        return Dataset.model_validate({} if said is None else said)
    except pydantic.ValidationError as error:
        faults = "; ".join(explain(fault, Dataset) for fault in error.errors())
        raise DatasetError(f"{path} is not a valid dataset description: {faults}.") from error
    except OSError as error:
        raise UnreachableError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise DatasetError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
