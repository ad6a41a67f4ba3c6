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
from homefeed.schemas.columns import (
    DERIVED,
    EVENT_FEATURES,
    GUARDED_KINDS,
    LOCAL_TIME,
    MODEL_KINDS,
    OPTIONAL,
    STANDARD_COLUMNS,
    TABLES,
    Feature,
    Filled,
    Several,
    Strict,
    TableName,
)
from homefeed.schemas.errors import HomefeedError
from homefeed.schemas.objectives import DECLARED, INTERACTIONS, OBJECTIVES, Values, objective_faults, read_objective
from homefeed.schemas.words import explain, same_but_capitals

FILE_NAME = "dataset.yaml"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")  # What TensorFlow takes as the name of an input.


class DatasetError(HomefeedError, ValueError):
    """The dataset cannot be used as described: a table, column or declaration is missing or wrong."""


class UnreachableError(DatasetError):
    """Nothing can be read now: for want of a disk, a network, a right or a key, which says nothing of the data."""


def _text_encoding(name: str) -> str:
    try:
        "é".encode(name, "ignore")
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"there is no encoding {name!r} of text; utf-16, cp1252 and gb18030 are some") from error
    return name


class Table(Strict):
    """One table: a file, a folder or a glob, local or any URI that Beam opens."""

    path: Filled  # From the folder of dataset.yaml, or a URI; {SPAN} and {VERSION} stand for deliveries.
    format: Literal["csv", "tsv", "jsonl", "parquet"] | None = None  # None: told from the file's name.
    delimiter: Annotated[str, pydantic.Field(pattern=r"^[\t -~]$")] | None = None  # None: comma in CSV, tab in TSV.
    encoding: Annotated[str, pydantic.AfterValidator(_text_encoding)] = "utf-8"  # Python's name of it.
    header: Several | None = None  # Names of the columns, of CSV and TSV without a line of them.
    columns: dict[str, str] = pydantic.Field(default={})  # Our name → the name in the file, where they differ.
    features: dict[str, Feature] = pydantic.Field(default={})  # Columns beyond the standard ones that models may use.


class Relations(Table):
    """Who is related to whom: each row from a user to another."""

    kinds: Several | None = None  # Of the column `kind`: those that count. None: all, also rows without one.


class Positive(Strict):
    """Which interactions count as liked: all of the conditions that are given must hold."""

    min_value: float | None = None  # The smallest value that is liked.
    event_types: Several | None = None  # The types of events that are.


class Dataset(Strict):
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

    def declared(self, name: TableName) -> list[str]:
        """The columns that a table's files must have, because dataset.yaml names them; of items with the facts."""
        table: Table | None = getattr(self, name)
        named = {**table.columns, **table.features} if table else {}
        return [*named, *(self.facts if name == "items" else ())]

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
