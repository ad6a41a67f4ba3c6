"""Sealed feedback for programs that evaluate policies elsewhere: one card after the other, with what became of it.

| format | what it is |
|---|---|
| parquet | a row a card, with all that is known of it |
| vw | `dsjson` of Vowpal Wabbit: a line a card, whose alternatives are the cards that stood below it |
| obp | CSV of the Open Bandit data: action, position, reward, pscore |
| ubi | JSON lines of User Behavior Insights 1.3: a query a page, an event a card that was seen or acted on |
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import itertools
import pathlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from homefeed.schemas import times
from homefeed.schemas.columns import TableName
from homefeed.schemas.dataset import Dataset, DatasetError, load_dataset
from homefeed.schemas.scratch import replacing
from homefeed.schemas.tables import find_files
from homefeed.serving.feedback.rows import EXPOSURES, OF_EXPERIMENTS

Format = Literal["vw", "obp", "ubi", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
_SHOWN = EXPOSURES | {"acted": pa.list_(pa.string()), "reward": pa.float64()}
del _SHOWN["is_seen"]  # All of them are, or nobody told.
CARDS_A_GROUP = 50_000


@dataclasses.dataclass(frozen=True)
class Act:
    """Something that was done with a card."""

    type: str
    value: float | None
    at: str  # ISO 8601, UTC.


@dataclasses.dataclass(frozen=True)
class Shown:
    """A card that was seen, as it was sealed.

    Attributes:
        facts: column of the exposures → value.
        acts: what was done with it, in time.
        reward: 1 if one of these counts as liked in `dataset.yaml`, else 0.
    """

    facts: Mapping[str, Any]
    acts: Sequence[Act]
    reward: float


def export(data: pathlib.Path, out: pathlib.Path, to: Format) -> int:
    """Writes all sealed spans to one file; gives the number of cards.

    Args:
        data: folder of `dataset.yaml`.
        out: the file, replaced if it is there.
        to: its format.

    Raises:
        DatasetError: no feedback was sealed there.
    """
    is_new = not out.exists()
    out.open("ab").close()  # Before anything is read, it is said that it cannot be written.
    try:
        pages = read_pages(data)
        with replacing(out.absolute()) as staging:
            return _WRITERS[to](pages, staging)
    except BaseException:
        if is_new:
            out.unlink(missing_ok=True)
        raise


def read_pages(data: pathlib.Path) -> Iterator[list[Shown]]:
    """The cards of each page that was sealed, from its top.

    Raises:
        DatasetError: no feedback was sealed there.
    """
    dataset = load_dataset(data)
    files = _parquet(data, dataset, "exposures") if dataset.exposures else []
    columns = dataset.table("exposures").columns
    names = {columns.get(name, name) for name in EXPOSURES if name not in OF_EXPERIMENTS}
    # Others deliver exposures as well.
    if not (files := [file for file in files if names <= {*pq.read_schema(file).names}]):
        raise DatasetError(f"{data} has no exposures that were sealed: `homefeed feedback seal` writes them")
    acts = _acts(data, dataset)
    return _pages(files, dataset, acts)


def _pages(
    files: Iterable[pathlib.Path], dataset: Dataset, acts: Mapping[tuple[str, str], list[Act]]
) -> Iterator[list[Shown]]:
    is_liked = _is_liked(dataset)
    for file in files:
        rows = _rows(file, dataset, "exposures")
        for _, cards in itertools.groupby(rows, key=lambda row: row["impression_id"]):
            shown = [(card, acts.get((card["impression_id"], card["item_id"]), [])) for card in cards]
            yield [Shown(card, done, float(any(map(is_liked, done)))) for card, done in shown]


def _is_liked(dataset: Dataset) -> Callable[[Act], bool]:
    types, least = dataset.positive.event_types, dataset.positive.min_value

    def is_liked(act: Act) -> bool:
        return (types is None or act.type in types) and (least is None or (act.value or 0.0) >= least)

    return is_liked


def _acts(data: pathlib.Path, dataset: Dataset) -> Mapping[tuple[str, str], list[Act]]:
    """(Impression, item) → what was done there, in time; each event once."""
    acts: defaultdict[tuple[str, str], list[Act]] = defaultdict(list)
    for file in _parquet(data, dataset, "interactions"):
        for row in _rows(file, dataset, "interactions"):
            if row.get("impression_id"):
                act = Act(row.get("event_type") or "", row.get("value"), _time(row["timestamp"]))
                acts[row["impression_id"], row["item_id"]].append(act)
    return {card: sorted(done, key=lambda act: act.at) for card, done in acts.items()}


def _parquet(data: pathlib.Path, dataset: Dataset, name: TableName) -> list[pathlib.Path]:
    files = find_files(data, dataset.table(name), name).files
    return [pathlib.Path(file.path) for file in files if file.format == "parquet"]


def _rows(file: pathlib.Path, dataset: Dataset, name: TableName) -> Iterator[dict[str, Any]]:
    """Rows by our names for the columns."""
    ours = {theirs: own for own, theirs in dataset.table(name).columns.items()}
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches():
            for row in batch.to_pylist():
                yield {ours.get(column, column): value for column, value in row.items()}


def _time(at: Any) -> str:
    if not isinstance(at, datetime.datetime):  # As others write it.
        at = datetime.datetime.fromtimestamp(times.moment(str(at)) or 0, datetime.UTC)
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


# --- Formats ---


def _write_parquet(pages: Iterable[list[Shown]], out: pathlib.Path) -> int:
    count, schema = 0, pa.schema(list(_SHOWN.items()))
    with pq.ParquetWriter(out, schema) as writer:
        for cards in _batched(itertools.chain.from_iterable(pages)):
            rows = [{**card.facts, "acted": [act.type for act in card.acts], "reward": card.reward} for card in cards]
            writer.write_table(pa.Table.from_pylist(rows, schema))
            count += len(cards)
    return count


def _batched(cards: Iterator[Shown]) -> Iterator[list[Shown]]:
    while some := list(itertools.islice(cards, CARDS_A_GROUP)):
        yield some


def _write_lines(
    lines_of: Callable[[list[Shown]], Iterator[dict[str, Any]]],
) -> Callable[[Iterable[list[Shown]], pathlib.Path], int]:
    def write(pages: Iterable[list[Shown]], out: pathlib.Path) -> int:
        count = 0
        with out.open("wb") as file:
            for page in pages:
                file.writelines(orjson.dumps(line) + b"\n" for line in lines_of(page))
                count += len(page)
        return count

    return write


def _dsjson(page: list[Shown]) -> Iterator[dict[str, Any]]:
    """A decision a card: it was chosen, with its probability, before those that stood below it."""
    for place, card in enumerate(page):
        facts, below = card.facts, page[place:]
        chance = facts["propensity"] if len(below) > 1 else 1.0
        rest = [(1.0 - chance) / (len(below) - 1)] * (len(below) - 1) if len(below) > 1 else []
        yield {
            "_label_cost": -card.reward if card.reward else 0.0,
            "_label_probability": chance,
            "_label_Action": 1,
            "_labelIndex": 0,
            "Timestamp": _time(facts["timestamp"]),
            "Version": "1",
            "EventId": f"{facts['impression_id']}:{facts['position']}",
            "a": list(range(1, len(below) + 1)),
            "c": {
                "User": {"id": facts["user_id"]},
                "Page": {"surface": facts.get("surface"), "row": facts.get("row"), "position": facts["position"]},
                "_multi": [{"Item": {"id": other.facts["item_id"]}} for other in below],
            },
            "p": [chance, *rest],
            "VWState": {"m": str(facts.get("model_version"))},
        }


def _ubi(page: list[Shown]) -> Iterator[dict[str, Any]]:
    """A page is a query without a text; of each card that it was seen, and what was done."""
    first = page[0].facts
    common = {"application": "homefeed", "query_id": first["impression_id"], "client_id": first["user_id"]}
    yield common | {
        "user_query": "",
        "object_id_field": "item_id",
        "timestamp": _time(first["timestamp"]),
        "query_response_hit_ids": [card.facts["item_id"] for card in page],
    }
    for card in page:
        seen = Act("impression", None, _time(card.facts["timestamp"]))
        for act in (seen, *card.acts):
            yield common | {
                "action_name": act.type,
                "timestamp": act.at,
                "event_attributes": {
                    "object": {"object_id": card.facts["item_id"], "object_id_field": "item_id"},
                    "position": {"ordinal": card.facts["position"] + 1},
                },
            }


OBP = ("timestamp", "impression_id", "user_id", "item_id", "action", "position", "reward", "pscore")


def _write_obp(pages: Iterable[list[Shown]], out: pathlib.Path) -> int:
    """Actions are numbers from 0, in the order in which items are met."""
    actions: dict[str, int] = {}
    count = 0
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(OBP)
        for card in itertools.chain.from_iterable(pages):
            facts = card.facts
            action = actions.setdefault(facts["item_id"], len(actions))
            about = (facts["impression_id"], facts["user_id"], facts["item_id"])
            place = (facts["position"], int(card.reward), facts["propensity"])
            writer.writerow((_time(facts["timestamp"]), *about, action, *place))
            count += 1
    return count


_WRITERS: Mapping[Format, Callable[[Iterable[list[Shown]], pathlib.Path], int]] = {
    "parquet": _write_parquet,
    "vw": _write_lines(_dsjson),
    "ubi": _write_lines(_ubi),
    "obp": _write_obp,
}
