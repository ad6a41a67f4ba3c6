"""ExampleGen's Beam pipeline: batches of rows go to files, and only references to them through the shuffle.

So neither step holds more than one block of input (reading) or one shard (writing) in memory, on any runner,
and what is written does not depend on how a runner bundles the work.

Each step gives one stream of ((kind, key), value), and everything joins the last step: not every runner knows tagged
outputs (Dask's drops the tags), computes side inputs once, or computes what no later step asks for.
"""

# Beam declares itself typed and mostly is not.
# mypy: disable-error-code="no-untyped-call,type-arg"

from __future__ import annotations

import dataclasses
import math
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics.metric import Metrics

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import Examples, Quarantine
from homefeed.components.beam.pipeline import beam_pipeline
from homefeed.components.example_gen import ids, reports, spill, tally
from homefeed.components.example_gen.batches import hide_users, shown_alone, without_future, without_shown
from homefeed.components.example_gen.counts import VALUES, TableCounts
from homefeed.components.example_gen.reports import BAD, COUNTS, IDS, QUARANTINE
from homefeed.components.example_gen.shards import JOINED, TIMED, Options, put_in_order
from homefeed.components.example_gen.spill import Chunk
from homefeed.components.example_gen.splits import Cuts, SplitRule, find_cuts, newest_alone
from homefeed.components.example_gen.times import Times, count_times, merge_times, no_times
from homefeed.schemas import privacy, tables
from homefeed.schemas.columns import KEYS, TableName
from homefeed.schemas.dataset import DatasetError
from homefeed.schemas.tables import Source
from homefeed.schemas.times import misread

DELIVERY = "delivery"  # A folder below the temporary one.
ROWS, TIMES = "rows", "times"  # Kinds of elements, beside those that are reported.


class Ingested(NamedTuple):
    """What came of it."""

    counts: dict[TableName, TableCounts]  # Of each table's rows.
    unmatched: list[ids.Unmatched]  # Events whose ids another table lacks.
    num_strangers: int  # Relations to people of whom nothing is known.


def ingest(
    sources: Iterable[Source],
    destinations: dict[TableName, Examples],
    quarantine: Quarantine,
    options: Options,
    runner: str,
    beam_options: Sequence[str],
) -> Ingested:
    """Runs the pipeline."""
    privacy.load_key(options.user_key)  # If it is not there, that is better said before than by a worker.
    by_name = {source.name: source for source in sources}
    quarantine.path.mkdir(parents=True, exist_ok=True)
    with spill.between_steps(options.temp_dir) as spill_dir:
        with beam_pipeline(runner, beam_options) as pipeline:
            _ = pipeline | "Ingest" >> Ingest(by_name, destinations, quarantine, spill_dir, options)
        if options.temp_dir:
            for name, destination in destinations.items():
                spill.fetch(f"{spill_dir}/{DELIVERY}/{name}", destination.path)
            spill.fetch(f"{spill_dir}/{DELIVERY}/{QUARANTINE}", quarantine.path)
        counted = {name: reports.read_counts(source, spill_dir) for name, source in by_name.items()}
        found = spill.read_ids(by_name, spill_dir)
        return Ingested(counted, ids.find_unmatched(found), ids.count_strangers(found))


class Ingest(beam.PTransform):
    """From files to Examples and quarantine.

    Beside them, the temporary folder gets of each table what became of its rows, and how often each id is there.
    """

    def __init__(
        self,
        sources: dict[TableName, Source],
        destinations: dict[TableName, Examples],
        quarantine: Quarantine,
        spill_dir: str,
        options: Options,
    ):
        super().__init__()
        self._sources, self._destinations, self._quarantine = sources, destinations, quarantine
        self._spill_dir, self._options = spill_dir, options
        # Workers elsewhere see the temporary folder, not ours: they deliver there, and we fetch.
        self._delivery = f"{spill_dir}/{DELIVERY}" if options.temp_dir else ""
        num_bytes: Counter[TableName] = Counter()
        for name, source in sources.items():
            num_bytes[JOINED.get(name, name)] += source.num_bytes
        self._num_shards = _num_shards(num_bytes, options.shard_megabytes)

    def expand(self, pipeline: beam.Pipeline) -> beam.pvalue.PCollection:
        """Begins a pipeline with the sources' files."""
        files = [(name, index) for name, source in self._sources.items() for index in range(len(source.files))]
        read = (
            pipeline
            | "Files" >> beam.Create(files)
            | "Spread" >> beam.Reshuffle()  # So that workers share the files.
            | "Read" >> beam.ParDo(_Read(self._sources, self._num_shards, self._spill_dir, self._options))
        )
        # Of one key, which is not None, as of CombineGlobally: processes hash that differently, so Dask parts it.
        times = read | "Times" >> _only(TIMES) | "AllTimes" >> beam.CombinePerKey(_MergeTimes()) | beam.Values()
        odd = times | "OddTimes" >> beam.FlatMap(_odd_times, self._options.rule, self._sources["interactions"])
        of_files = read | "OfFiles" >> beam.Filter(lambda told: told[0][0] in reports.KINDS)
        return (
            (of_files, self._write(pipeline, read, times), odd)
            | "Told" >> beam.Flatten()
            | "AddUp" >> beam.CombinePerKey(reports.add_up)
            | "Report" >> beam.Map(reports.write, self._spill_dir, self._quarantine, self._delivery)
        )

    def _write(
        self, pipeline: beam.Pipeline, read: beam.pvalue.PCollection, times: beam.pvalue.PCollection
    ) -> beam.pvalue.PCollection:
        """Brings the rows of each shard together, with the times where they are cut."""
        shards = [(name, shard) for name, count in self._num_shards.items() for shard in range(count)]
        return (
            (
                read | "Rows" >> _only(ROWS),
                times | "Cuts" >> beam.FlatMap(_cut_each, shards, self._options.rule),
                pipeline | "Shards" >> beam.Create([(shard, None) for shard in shards]),  # Those without rows, too.
            )
            | "EveryShard" >> beam.Flatten()
            | "ByShard" >> beam.GroupByKey()
            | "Write"
            >> beam.ParDo(
                _WriteShard(self._sources, self._destinations, self._num_shards, self._options, self._delivery)
            )
        )


def _num_shards(num_bytes: Mapping[TableName, int], shard_megabytes: int) -> dict[TableName, int]:
    """Shards of each table; those of users have as many, so that a shard of each is of the same users."""
    found = {name: max(1, math.ceil(count / (shard_megabytes << 20))) for name, count in num_bytes.items()}
    most = max(count for name, count in found.items() if KEYS[name] == "user_id")
    return {name: most if KEYS[name] == "user_id" else count for name, count in found.items()}


def _only(kind: str) -> beam.PTransform:
    """(key, value) of a kind, of a stream of ((kind, key), value)."""
    return beam.FlatMap(lambda told: [(told[0][1], told[1])] if told[0][0] == kind else [])


class _Read(beam.DoFn):
    """Reads files and spills their rows, block by block, sorted by shard."""

    def __init__(
        self, sources: dict[TableName, Source], num_shards: dict[TableName, int], spill_dir: str, options: Options
    ):
        self._sources, self._num_shards, self._spill_dir = sources, num_shards, spill_dir
        self._options = options

    def process(self, element: tuple[TableName, int]) -> Iterator[Any]:
        """One file: yields rows as ((ROWS, (table, shard)), chunk), and counts, bad rows and times."""
        name, index = element
        source = self._sources[name]
        for number, batch in enumerate(self._batches(source, index)):
            if isinstance(batch, DatasetError):
                yield (COUNTS, name), Counter({f"{tally.BROKEN}{batch}": 1})
                break
            place = f"{self._spill_dir}/{name}-{index}-{number}-{uuid.uuid4().hex}"
            yield (COUNTS, name), _count(source, batch)
            for listed, file in ((batch.bad, name), (batch.lost, f"{name}{VALUES}")):
                if listed:
                    bad = spill.spill_bad(listed, source.files[index].path, f"{place}-{file}.jsonl")
                    yield (BAD, file), [Chunk(index, number, bad, 0)]
            if not batch.rows.num_rows:
                continue
            if name == "interactions":
                yield (TIMES, 0), count_times(batch.rows["timestamp"].to_numpy())
            target = JOINED.get(name, name)
            shard = spill.shard_of(batch.rows[KEYS[name]], self._num_shards[target])
            for part, number_of_shard in enumerate(spill.spill(batch.rows, shard, f"{place}.arrow")):
                yield (ROWS, (target, number_of_shard)), Chunk(index, number, f"{place}.arrow", part, name)

    def _batches(self, source: Source, index: int) -> Iterator[tables.Batch | DatasetError]:
        """What a file holds and, if it breaks off, that: an error of a worker would come back as a traceback."""
        key = privacy.load_key(self._options.user_key)  # Only workers read it.
        try:
            for batch in source.read_file(index):
                batch = self._usable(batch, source)
                yield batch if key is None else hide_users(batch, key)
        except DatasetError as error:
            yield error

    def _usable(self, batch: tables.Batch, source: Source) -> tables.Batch:
        """What of a batch is the table's."""
        columns, shown = source.table.columns, self._options.shown
        if source.name in TIMED:
            batch = without_future(batch, self._options.now, columns.get("timestamp", "timestamp"))
        if shown and source.name == "interactions":
            batch = without_shown(batch, shown, columns)
        if shown and source.name == "exposures":
            batch = shown_alone(batch, shown)
        # The bad rows of a derived table are the interactions', and are counted there.
        return dataclasses.replace(batch, bad=(), lost=()) if source.is_derived else batch


class _WriteShard(beam.DoFn):
    """Puts a shard's rows in order and writes its Examples, one file a split."""

    def __init__(
        self,
        sources: dict[TableName, Source],
        destinations: dict[TableName, Examples],
        num_shards: dict[TableName, int],
        options: Options,
        delivery: str,
    ):
        self._sources, self._destinations = sources, destinations
        self._num_shards, self._options, self._delivery = num_shards, options, delivery

    def process(self, element: tuple[tuple[TableName, int], Iterable[Chunk | Cuts | None]]) -> Iterator[Any]:
        """One shard: yields the counts of each table in it, and ids. Without interactions nothing is cut."""
        (name, shard), parts = element
        parts = list(parts)
        chunks = [part for part in parts if isinstance(part, Chunk)]
        cuts = next((part for part in parts if isinstance(part, Cuts)), None)
        joined = [self._sources[other] for other, to in JOINED.items() if to == name and other in self._sources]
        splits, counts = put_in_order(self._sources[name], chunks, joined, self._options, cuts)
        with spill.delivered(self._destinations[name], name, self._delivery) as destination:
            for split, examples in splits.items():
                example_io.write_split(destination, split, examples, shard, self._num_shards[name])
        if not self._sources[name].is_derived:
            for examples in (examples for examples in splits.values() if examples.num_rows):
                for column, counted in ids.count_ids(name, examples):
                    yield (IDS, (name, column)), counted
        yield from (((COUNTS, table), counted) for table, counted in counts.items())


class _MergeTimes(beam.CombineFn):
    """`merge_times`, as Beam wants it."""

    def create_accumulator(self) -> Times:
        """No times."""
        return no_times()

    def add_input(self, accumulator: Times, times: Times) -> Times:
        """Adds a histogram."""
        return merge_times([accumulator, times])

    def merge_accumulators(self, accumulators: Iterable[Times]) -> Times:
        """Adds histograms up."""
        return merge_times(accumulators)

    def extract_output(self, accumulator: Times) -> Times:
        """The accumulator is the output."""
        return accumulator


def _cut_each(
    times: Times, shards: Sequence[tuple[TableName, int]], rule: SplitRule
) -> Iterator[tuple[tuple[TableName, int], Cuts]]:
    width, bins, counts = times
    if len(bins):
        cuts = find_cuts(bins * width, counts, rule)
        yield from ((shard, cuts) for shard in shards)


def _odd_times(times: Times, rule: SplitRule, interactions: Source) -> Iterator[Any]:
    width, bins, counts = times
    unit = interactions.units.get("timestamp")
    if len(bins):
        faults = newest_alone(bins * width, counts, rule), misread(bins * width, counts, unit) if unit else ""
        yield (COUNTS, "interactions"), Counter({f"{tally.BROKEN}{fault}": 1 for fault in faults if fault})


def _count(source: Source, batch: tables.Batch) -> Counter[str]:
    counts = tally.count(source, batch)
    for what in ("rows", "quarantined"):
        Metrics.counter("ExampleGen", f"{source.name}_{what}").inc(counts[what])
    return counts
