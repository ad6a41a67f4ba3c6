"""Rules of a page: what must not, what must, and what should rather stand on it. See docs/page_policy.md."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import pathlib
import re
import zoneinfo
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

import pydantic
import yaml
from pydantic import Field

from homefeed.schemas import text_yaml
from homefeed.schemas.settings import Form
from homefeed.schemas.words import explain, near, shown
from homefeed.serving.policy.conditions import WORDS, Condition, Moment, Written
from homefeed.serving.policy.errors import PolicyError as PolicyError
from homefeed.serving.policy.files import Files, Mark, version_of

Card = Mapping[str, Any]
Effect = Literal["block", "allow", "boost", "pin", "quota", "cap", "deny", "hold"]
EFFECTS: tuple[Effect, ...] = ("block", "allow", "boost", "pin", "quota", "cap", "deny", "hold")
DENIALS = ("deny", "hold")
"""Effects that hold for everybody, always, on every page, and in the models."""
MAX_NAMES = 200  # Of a file: each page looks at all of them.
_HOURS = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_BELONGS = {
    "by": ("boost",),
    "at_least": ("quota",),
    "at_most": ("quota", "cap"),
    "row": ("pin", "quota"),
    "reviews": ("hold",),
    **dict.fromkeys(("reader", "since", "until", "hours"), tuple(one for one in EFFECTS if one not in DENIALS)),
}


Model = TypeVar("Model", bound=pydantic.BaseModel)


def _is_hours(text: str) -> str:
    found = _HOURS.fullmatch(text)
    if not found or any(int(hour) > 24 for hour in found.group(1, 3)) or any(int(m) > 59 for m in found.group(2, 4)):
        raise ValueError("expected hours such as 18:00-23:30; 22:00-06:00 goes over midnight")
    return text


def _is_zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("there is no such time zone; expected one such as Europe/Berlin") from error
    return name


_NAME = Form("1 to 64 characters that can be printed", lambda name: len(name) <= 64 and name and name.isprintable())


def _is_name(name: str) -> str:
    if not _NAME.accepts(name):
        raise ValueError(f"expected {_NAME.expected}")
    return name


Name = Annotated[str, pydantic.AfterValidator(_is_name), _NAME]
"""Of a rule, a surface, an experiment or an arm: it stands in pages, stores, metrics and reports."""


class Rule(pydantic.BaseModel):
    """One rule: exactly one effect, and when and for whom it counts.

    Attributes:
        block: cards that must not be shown.
        allow: cards beside which none may be shown.
        boost: cards that stand as if `by` times nearer to the top.
        pin: items at the head of a row, in this order, as far as they may be shown.
        quota: cards of which a page has `at_least` (as far as there are any, in the row) or `at_most` so many.
        deny: items that nobody may be shown, ever: neither a page nor a model has them.
        hold: items that wait for a verdict in `reviews`; until they are accepted, they are denied.
        cap: a field, of each of whose values a page has `at_most` so many cards.
        by: of boost; below 1 it moves cards down.
        row: of pin and quota; "": the first.
        reader: whose pages; None: everybody's.
        since, until: Unix seconds between which it counts, the last one not included.
        hours: of the day, such as 18:00-23:30, in `zone`.
        strict: rather no page than one that breaks it; `deny` and `hold` are.
        reviews: ids of the items that were accepted; in the file the name of a file of verdicts.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    block: Written | None = None
    allow: Written | None = None
    boost: Written | None = None
    pin: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    quota: Written | None = None
    cap: Annotated[str, Field(min_length=1)] | None = None
    deny: Written | None = None
    hold: Written | None = None
    by: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None
    at_least: Annotated[int, Field(ge=1, le=1000)] | None = None
    at_most: Annotated[int, Field(ge=0, le=1000)] | None = None
    row: str = ""
    reader: Written | None = None
    since: Moment | None = None
    until: Moment | None = None
    hours: Annotated[str, pydantic.AfterValidator(_is_hours)] | None = None
    zone: Annotated[str, pydantic.AfterValidator(_is_zone)] = "UTC"
    strict: bool = False
    reviews: frozenset[str] | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> Rule:
        effects = [name for name in EFFECTS if getattr(self, name) is not None]
        if len(effects) != 1:
            found = " and ".join(effects) or "none"
            raise ValueError(f"expected exactly one of {', '.join(EFFECTS)}, found {found}")
        for name, owners in _BELONGS.items():
            if getattr(self, name) not in (None, "") and effects[0] not in owners:
                raise ValueError(f"`{name}` belongs to {' and '.join(owners)}, not to {effects[0]}")
        needed = {"boost": "by", "cap": "at_most", "hold": "reviews"}.get(effects[0])
        if needed and getattr(self, needed) is None:
            raise ValueError(f"{effects[0]} needs `{needed}`")
        if self.is_denial and self.condition and self.condition.is_timed:
            raise ValueError(f"{effects[0]} holds always: it cannot ask for `now`; `block` can")
        if self.quota is not None and (self.at_least is None) == (self.at_most is None):
            raise ValueError("quota needs either `at_least` or `at_most`")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("`since` is not before `until`")
        return self

    @functools.cached_property
    def effect(self) -> Effect:
        """What it does."""
        return next(name for name in EFFECTS if getattr(self, name) is not None)

    @functools.cached_property
    def condition(self) -> Condition | None:
        """Which cards it is about; None: it names items or a field."""
        found = getattr(self, self.effect)
        return found if isinstance(found, Condition) else None

    @property
    def asked(self) -> list[str]:
        """The fields of cards that it asks for."""
        return [self.cap] if self.cap else list(self.condition.tests) if self.condition else []

    @property
    def is_denial(self) -> bool:
        """Whether it holds for everybody, always and everywhere."""
        return self.effect in DENIALS

    @property
    def keeps_off(self) -> bool:
        """Whether the cards that it is about must not be shown."""
        return self.block is not None or self.is_denial

    def is_about(self, card: Card, now: float) -> bool:
        """Whether a card, with its `item_id`, is meant."""
        is_meant = self.condition is not None and self.condition.holds(card, now)
        return is_meant and not (self.reviews and card["item_id"] in self.reviews)

    def counts(self, reader: Mapping[str, Any], now: float) -> bool:
        """Whether it counts for a reader at a time.

        Args:
            reader: feature of the users table → value.
            now: Unix seconds.
        """
        if (self.since is not None and now < self.since) or (self.until is not None and now >= self.until):
            return False
        if self.hours is not None and not _within(self.hours, self.zone, now):
            return False
        return self.reader is None or self.reader.holds(reader, now)


def _within(hours: str, zone: str, now: float) -> bool:
    local = datetime.datetime.fromtimestamp(now, zoneinfo.ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    first, last = (int(part[:2]) * 60 + int(part[3:]) for part in hours.split("-"))
    return first <= minute < last if first <= last else minute >= first or minute < last


@dataclasses.dataclass(frozen=True)
class Rules:
    """Rules of one file.

    Attributes:
        by_name: in the order of the file.
        version: of the file's content, and that of the files that it names; "": there is none.
        text_version: of the file's content alone.
        lists: name of each file that it names → version of that one's content.
        files: the same files → the mark of what was read.
        reviews: rule that holds items → its file of verdicts.
        denies: version of what rules `deny`, with the lines of the files that these name; "": nothing.
    """

    by_name: Mapping[str, Rule] = dataclasses.field(default_factory=dict)
    version: str = ""
    text_version: str = ""
    lists: Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: Mapping[pathlib.Path, Mark] = dataclasses.field(default_factory=dict)
    reviews: Mapping[str, pathlib.Path] = dataclasses.field(default_factory=dict)
    denies: str = ""

    def require_columns(self, columns: Iterable[str]) -> None:
        """Checks that the fields that are asked for exist; a misspelt one would silently never match.

        Raises:
            PolicyError: one does not.
        """
        if faults := self.faults(columns):
            raise PolicyError("; ".join(faults))

    def faults(self, columns: Iterable[str], only_strict: bool = False) -> list[str]:
        """Fields that rules (or `only_strict` ones, denials among them) ask for and no item has, a sentence each."""
        known = set(columns)
        return [
            f"{name}: items have no column {shown(field)}{near(field, known)}"
            for name, rule in self.by_name.items()
            if not only_strict or rule.strict or rule.is_denial
            for field in rule.asked
            if field not in known and field != WORDS
        ]


def read_rules(path: pathlib.Path, folder: pathlib.Path | None = None) -> Rules:
    """Rules from a YAML file: `name: {block: {categories: crime}}`.

    Args:
        path: of the file.
        folder: where the files are that it names, of a draft that lies elsewhere; None: its own.

    Raises:
        PolicyError: the file is missing, or says something else; all faults are told at once.
    """
    said, text_version = read_yaml(path, "rules such as no-crime: {block: {categories: crime}}")
    folder = folder or path.parent
    files = Files(folder)
    whole = {name: files.put_in(described) for name, described in said.items()}
    found = read_models(path, whole, Rule)
    lists, denied = files.versions, [whole[name]["deny"] for name, rule in found.items() if rule.deny is not None]
    version = version_of(" ".join([text_version, *lists.values()])) if lists else text_version
    denies = version_of(json.dumps(denied, sort_keys=True)) if denied else ""
    reviews = {name: folder / said[name]["reviews"] for name, rule in found.items() if rule.reviews is not None}
    return Rules(found, version, text_version, lists, files.marks, reviews, denies)


def read_yaml(path: pathlib.Path, expected: str) -> tuple[dict[str, Any], str]:
    """What a file says by name, and the version of its content; an empty file says nothing.

    Args:
        path: of the file.
        expected: what it should hold, for messages.

    Raises:
        PolicyError: it is missing, or no mapping, or has too many names.
    """
    try:
        content = path.read_bytes()
        said = text_yaml.load(content.decode())
    except OSError as error:
        raise PolicyError(f"{path} cannot be read: {error.strerror or error}; expected {expected}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise PolicyError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    if said is None:
        said = {}
    if not isinstance(said, dict):
        raise PolicyError(f"{path}: expected {expected}, got {shown(said)}")
    if len(said) > MAX_NAMES:
        raise PolicyError(f"{path} has {len(said):,} names; expected at most {MAX_NAMES:,}")
    return said, version_of(content)


def read_models(path: pathlib.Path, said: Mapping[str, Any], kind: type[Model]) -> dict[str, Model]:
    """Each name's description.

    Raises:
        PolicyError: some are wrong.
    """
    found, faults = dict[str, Model](), list[str]()
    for name, described in said.items():
        if not _NAME.accepts(name):
            faults.append(f"the name {shown(name)}: expected {_NAME.expected}")
            continue
        try:
            found[name] = kind.model_validate(described)
        except pydantic.ValidationError as error:
            faults += [f"{name}: {explain(fault, kind)}" for fault in error.errors()]
    if faults:
        raise PolicyError(f"{path}: {'; '.join(faults)}")
    return found
