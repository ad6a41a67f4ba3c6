"""Writes `dataset.yaml` of files that nobody has described yet."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import yaml

from homefeed.pipeline.datasets.init import features
from homefeed.pipeline.datasets.init.look import find, look
from homefeed.pipeline.datasets.init.roles import Roles, find_roles
from homefeed.schemas.columns import STANDARD_COLUMNS, TABLES, TableName
from homefeed.schemas.dataset import FILE_NAME, Dataset, DatasetError
from homefeed.schemas.tables import find_table

ROOM = 1.5  # A share that is found in the beginning of a file may be so many times as large in all of it.


@dataclasses.dataclass(frozen=True)
class Described:
    """What was written, and what people should look at.

    Attributes:
        path: of `dataset.yaml`.
        tables: table → path of its file.
        columns: table → our column → the file's.
        features: table → declared column → its kind.
        left_out: table → column → why nothing reads it.
        ignored: files that are no table.
        answers: what was decided where the files do not say it.
    """

    path: pathlib.Path
    tables: Mapping[TableName, str]
    columns: Mapping[TableName, Mapping[str, str]]
    features: Mapping[TableName, Mapping[str, str]]
    left_out: Mapping[TableName, Mapping[str, str]]
    ignored: Sequence[str]
    answers: Sequence[str]


def describe(given: Sequence[pathlib.Path], out: pathlib.Path) -> Described:
    """Looks at files, tells which is which table, and writes `dataset.yaml` into a folder.

    Args:
        given: files, and folders with files.
        out: the folder, which is made if it is not there.

    Raises:
        DatasetError: there is a `dataset.yaml`, or no file can be the interactions.
    """
    target = out / FILE_NAME
    if target.exists():
        raise DatasetError(f"{target} is there already; name another folder with --out, or move it away")
    paths = [path for path in find(given) if path.name != FILE_NAME]
    roles = find_roles([look(path, _name(path, out)) for path in paths])
    kinds, left_out = _features(roles)
    answers = list(roles.guesses)
    said: dict[str, Any] = {"name": _slug(out)}
    for table in TABLES:
        if table in roles.files:
            said[table] = _table(roles, table, kinds[table])
    said |= _liked(roles, answers) | _tolerance(roles, answers)
    dataset = Dataset.model_validate(said)
    for table in roles.files:  # Before anything is written: who mends a file tries again.
        find_table(out, dataset, table)
    out.mkdir(parents=True, exist_ok=True)
    target.write_text(_text(said, left_out), encoding="utf-8")
    columns = {table: dict(roles.columns.get(table, {})) for table in roles.files}
    files = {table: one.path for table, one in roles.files.items()}
    return Described(target, files, columns, kinds, left_out, roles.ignored, answers)


def _name(path: pathlib.Path, out: pathlib.Path) -> str:
    """From the folder of `dataset.yaml`, if it is below; else absolute."""
    place, folder = path.absolute(), out.absolute()
    return place.relative_to(folder).as_posix() if place.is_relative_to(folder) else os.path.abspath(place)


def _slug(out: pathlib.Path) -> str:
    kept = "".join(letter if letter.isalnum() else "-" for letter in out.absolute().name.casefold())
    return kept.strip("-") or "data"


def _features(roles: Roles) -> tuple[dict[TableName, dict[str, str]], dict[TableName, dict[str, str]]]:
    """Declared columns with their kinds, and those that are left out with the reason."""
    kinds: dict[TableName, dict[str, str]] = {}
    left_out: dict[TableName, dict[str, str]] = {}
    for table, one in roles.files.items():
        kinds[table], left_out[table] = {}, {}
        used = roles.columns.get(table, {}).values()
        for name, column in one.columns.items():
            if name in used:
                continue
            kind, why = features.kind_of(column, table)
            if kind is None:
                left_out[table][name] = why
            else:
                kinds[table][name] = kind
    return kinds, left_out


def _table(roles: Roles, table: TableName, kinds: Mapping[str, str]) -> dict[str, Any]:
    one = roles.files[table]
    said = {name: value for name, value in one.table.model_dump(exclude_unset=True).items() if value is not None}
    names = {our: name for our, name in roles.columns.get(table, {}).items() if our != name}
    # A declared column goes by a name that is plain, where the file's is a path or in the way of another.
    plain = _plain_names(
        [*one.columns], kinds, [our for our in STANDARD_COLUMNS[table] if our not in kinds or our in names]
    )
    names |= {own: name for name, own in plain.items() if own != name}
    if "header" in said:
        said["header"] = list(said["header"])
    if names:
        said["columns"] = names
    if kinds:
        said["features"] = {plain[name]: {"kind": kind} for name, kind in kinds.items()}
    return said


def _plain_names(columns: Sequence[str], declared: Collection[str], taken: Iterable[str]) -> dict[str, str]:
    """Column → a name that a model's inputs can have; no two differ by capitals only."""
    used, found = {*map(str.lower, taken)}, dict[str, str]()
    for place, name in enumerate(columns, start=1):
        if name in declared:
            plain = _plain(name, place)
            found[name] = f"column_{place}" if plain.lower() in used else plain
            used.add(found[name].lower())
    return found


def _plain(name: str, place: int) -> str:
    """A name that a model's inputs can have; `place` is the column's, from 1.

    >>> _plain("user.country", 2), _plain("设备", 5)
    ('user_country', 'column_5')
    """
    kept = re.sub(r"[^A-Za-z0-9]+", "_", name.partition(":")[0]).strip("_")
    return kept if kept[:1].isalpha() and len(kept) * 2 > len(name.partition(":")[0]) else f"column_{place}"


def _liked(roles: Roles, answers: list[str]) -> dict[str, Any]:
    """`positive`, by ratings or else by types of events."""
    log, columns = roles.files["interactions"], roles.columns["interactions"]
    if "value" in columns:
        least = features.liked_from(log.columns[columns["value"]])
        if least is not None:
            answers.append(f"liked is what has {columns['value']} {least:g} or more: `positive`")
            return {"positive": {"min_value": least}}
    if "event_type" in columns:
        liked = features.liked_types(log.columns[columns["event_type"]])
        if liked:
            answers.append(f"liked is what is of type {', '.join(liked)}: `positive`")
            return {"positive": {"event_types": liked}}
    answers.append("every interaction counts as liked, as nothing tells them apart")
    return {}


def _tolerance(roles: Roles, answers: list[str]) -> dict[str, Any]:
    """How many rows may be lost, or be of unknown items and users, where there are more than usual."""
    log, columns, said = roles.files["interactions"], roles.columns["interactions"], {}
    usual = Dataset.model_fields
    lacking = 1 - min(log.columns[columns[our]].filled for our in ("user_id", "item_id", "timestamp"))
    if lacking > usual["max_bad_fraction"].default:
        said["max_bad_fraction"] = _with_room(lacking)
        answers.append(f"{lacking:.0%} of the interactions lack a user, item or time and go: `max_bad_fraction`")
    unmatched = max((_unmatched(roles, *pair) for pair in (("items", "item_id"), ("users", "user_id"))), default=0.0)
    if unmatched > usual["max_unmatched_fraction"].default / ROOM:
        said["max_unmatched_fraction"] = _with_room(unmatched)
        answers.append(f"{unmatched:.0%} of the interactions are of strangers: `max_unmatched_fraction`")
    return said


def _with_room(share: float) -> float:
    return min(1.0, math.ceil(share * ROOM * 100) / 100)


def _unmatched(roles: Roles, table: TableName, our: str) -> float:
    if table not in roles.files:
        return 0.0
    log = roles.files["interactions"].columns[roles.columns["interactions"][our]]
    known = roles.files[table].columns[roles.columns[table][our]].counts
    lost = sum(count for value, count in log.counts.items() if value not in known)
    return lost / max(log.counts.total(), 1)


def _text(said: Mapping[str, Any], left_out: Mapping[TableName, Mapping[str, str]]) -> str:
    """YAML, with what nothing reads as comments."""
    lines = ["# Written by `homefeed init`: look it through, and correct what it took for something else."]
    for key, value in said.items():
        lines += yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=110).rstrip().split("\n")
        lines += [f"  # {name} is left out: {why}" for name, why in left_out.get(key, {}).items()]  # type: ignore[call-overload]
    return "\n".join(lines) + "\n"
