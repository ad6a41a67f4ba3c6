# mypy: disable-error-code="no-untyped-call"
"""What is hot, counted on many machines from the log of all gateways, with the counts of the gateway itself.

The source is the only difference between a log up to now (`read_log`) and one without an end: an unbounded source
of (user, record) in its place, such as Beam's `ReadFromKafka`, gives an item's counts again whenever they change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.coders import BooleanCoder
from apache_beam.transforms import trigger, userstate
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.window import GlobalWindows, TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from homefeed.models.hot.board import FADED, HALF_LIVES
from homefeed.models.hot.counts import DecayedCounts
from homefeed.serving.log.address import read_address
from homefeed.serving.log.kafka import LogReader
from homefeed.serving.profiles.live import LiveEvent, counts
from homefeed.serving.profiles.outbox import read_record

_FIRST_ROW = np.zeros(1, np.int64)


@dataclasses.dataclass(frozen=True)
class HotItem:
    """Counts of an item.

    Attributes:
        item_id: the item.
        as_of: Unix seconds of its newest event.
        counts: how often it was taken, decayed up to then, of each half-life.
    """

    item_id: str
    as_of: float
    counts: tuple[float, ...]


class HotCounts(beam.PTransform[Any, Any]):
    """Records of a log, as (user, record) → HotItem of every item that somebody took.

    An event counts once, whatever copies of it the log has, and a person once for an item, as in the gateway: there
    the pair is forgotten when a million others came, here when its count has faded.

    Args:
        half_lives: seconds.
    """

    def __init__(self, half_lives: Sequence[float] = HALF_LIVES):
        super().__init__()
        self._half_lives = tuple(half_lives)

    def expand(self, records: Any) -> Any:
        """See the class."""
        panes = trigger.Repeatedly(trigger.AfterCount(1))
        return (
            records
            | "Taken" >> beam.FlatMap(taken)
            | "OncePerPerson" >> beam.ParDo(_FirstOfPair(FADED * max(self._half_lives)))
            | "Panes"
            >> beam.WindowInto(
                GlobalWindows(), trigger=panes, accumulation_mode=trigger.AccumulationMode.ACCUMULATING
            )
            | "Count" >> beam.CombinePerKey(DecayedCountsFn(self._half_lives))
            | "Item" >> beam.MapTuple(lambda item_id, found: HotItem(item_id, *found))
        )


def taken(record: tuple[str, bytes]) -> Iterator[Any]:
    """What a record says that somebody took: ((user, item), Unix seconds), at that time.

    What a guest did is told once, and not again as that of the user who logged in.
    """
    found = read_record(record[1])
    if found and isinstance(found.said, LiveEvent) and not found.guest:
        event = found.said
        if counts(event.type, event.item_id, event.at, event.received_at):
            at = min(event.at, event.received_at // 1000)  # A clock that is fast makes nothing hotter.
            yield TimestampedValue(((event.user_id, event.item_id), at), at)


class _FirstOfPair(beam.DoFn):
    """Keeps the first of each person and item as (item, Unix seconds), and remembers the pair for a while."""

    SEEN = userstate.ReadModifyWriteStateSpec("seen", BooleanCoder())
    FADES = userstate.TimerSpec("fades", TimeDomain.WATERMARK)

    def __init__(self, remembered_seconds: float):
        super().__init__()
        self._remembered_seconds = remembered_seconds

    def process(
        self,
        element: tuple[tuple[str, str], int],
        seen: Any = beam.DoFn.StateParam(SEEN),  # noqa: B008  Beam reads it so.
        fades: Any = beam.DoFn.TimerParam(FADES),  # noqa: B008
    ) -> Iterator[tuple[str, int]]:
        """See the class."""
        (_, item_id), at = element
        if not seen.read():
            seen.write(True)
            fades.set(Timestamp.of(at + self._remembered_seconds))
            yield item_id, at

    @userstate.on_timer(FADES)
    def forget(self, seen: Any = beam.DoFn.StateParam(SEEN)) -> None:  # noqa: B008
        """The pair counts nothing any more."""
        seen.clear()


class DecayedCountsFn(beam.CombineFn):
    """Times of an item's events → (Unix seconds of the newest, its DecayedCounts as of then)."""

    def __init__(self, half_lives: Sequence[float]):
        super().__init__()
        self._half_lives = half_lives

    def create_accumulator(self) -> tuple[float, DecayedCounts]:
        """The newest time, and the counts: of one row."""
        return 0.0, DecayedCounts(1, self._half_lives)

    def add_input(self, accumulator: tuple[float, DecayedCounts], at: int) -> tuple[float, DecayedCounts]:
        """One event more."""
        newest, found = accumulator
        found.add(_FIRST_ROW, np.array([at]))
        return max(newest, float(at)), found

    def merge_accumulators(self, accumulators: Iterable[tuple[float, DecayedCounts]]) -> tuple[float, DecayedCounts]:
        """All that were counted apart."""
        newest, total = self.create_accumulator()
        for at, found in accumulators:
            total.take(_FIRST_ROW, found, _FIRST_ROW)
            newest = max(newest, at)
        return newest, total

    def extract_output(self, accumulator: tuple[float, DecayedCounts]) -> tuple[float, tuple[float, ...]]:
        """See the class."""
        newest, found = accumulator
        return newest, tuple(found.as_of(newest)[0].tolist())


def read_log(pipeline: Any, url: str) -> Any:
    """What a log has now, as (user, record), each partition by itself.

    Raises:
        LogError: see `LogReader.bounds`.
    """
    reader = LogReader(read_address(url))
    ranges = [(part, *bounds) for part, bounds in reader.bounds().items()]
    reader.close()
    return pipeline | beam.Create(ranges) | beam.Reshuffle() | beam.FlatMap(_read_partition, url)


def _read_partition(part: tuple[int, int, int], url: str) -> Iterator[tuple[str, bytes]]:
    number, *ends = part
    reader = LogReader(read_address(url))
    try:
        for batch in reader.read({number: (ends[0], ends[1])}):
            yield from ((one.user_id, one.record) for one in batch)
    finally:
        reader.close()
