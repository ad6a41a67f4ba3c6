"""ExampleGen's Beam pipeline: batches of rows go to files, and only references to them through the shuffle.

So neither step holds more than one block of input (reading) or one shard (writing) in memory, on any runner,
and what is written does not depend on how a runner bundles the work.
"""

# Beam declares itself typed and mostly is not.
# mypy: disable-error-code="no-untyped-call,type-arg"

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import pathlib
import shutil
import tempfile
import uuid
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics.metric import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import Examples, Quarantine
from homefeed.components.example_gen import component as example_gen
from homefeed.components.example_gen.component import Config, Cuts
from homefeed.schemas import privacy, spans, tables
from homefeed.schemas.dataset import Dataset, DatasetError, Feature, Table, TableName

MAX_TIME_BINS = 2**16
COMPRESSION_RATIO = 4  # Of text, for guessing how much a compressed file holds.
DELIVERY, QUARANTINE = "delivery", "quarantine"  # Folders below the temporary one.
KEYS: dict[TableName, str] = {"interactions": "user_id", "items": "item_id", "users": "user_id"}

AnyArtifact = TypeVar("AnyArtifact", Examples, Quarantine)
Times = tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Width of a bin in seconds, the bins' numbers (ascending), and how many events are in each."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A table whose files were found and whose columns were checked."""

    name: TableName
    table: Table
    features: dict[str, Feature]  # Of the columns that exist.
    files: tuple[tuple[str, tables.Format], ...]
    num_bytes: int
    spans: tuple[str, ...] = ()  # Earlier ones first; none without `{SPAN}` in the table's path.


@dataclasses.dataclass(frozen=True)
class TableCounts:
    """What became of a table's rows: rows = written + quarantined + duplicates + expired."""

    rows: int
    written: int
    quarantined: int
    duplicates: int
    expired: int
    reasons: dict[str, int]
    spans: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, order=True)
class _Chunk:
    """Some rows of one file that go to one shard, in a file of their own. Sorts by where they came from."""

    file: int
    number: int
    path: str
    batch: int


def find_files(data_dir: pathlib.Path, table: Table, name: TableName, wanted: str = "") -> dict[str, int]:
    """The files of a table, in order, with their sizes in bytes.

    Raises:
        DatasetError: there is no file, or not the wanted span.
    """
    pattern = tables.table_pattern(data_dir, table)
    sizes = {file.path: file.size_in_bytes for file in FileSystems.match([spans.as_glob(pattern)])[0].metadata_list}
    if not sizes:
        raise tables.missing_table(name, pattern)
    return {path: sizes[path] for path in spans.select(sizes, pattern, wanted)}


def list_spans(data_dir: pathlib.Path, dataset: Dataset, name: TableName) -> list[str]:
    """All spans of a table, earlier ones first; none without `{SPAN}` in its path."""
    table = dataset.table(name)
    return spans.names(find_files(data_dir, table, name), tables.table_pattern(data_dir, table))


def find_table(data_dir: pathlib.Path, dataset: Dataset, name: TableName, wanted_spans: str = "") -> Source:
    """Finds a table's files and the columns in them.

    Raises:
        DatasetError: there is no file, or a column that is required or declared is in none of them.
    """
    table = dataset.table(name)
    files, present, num_bytes = [], set(), 0
    for path, size in find_files(data_dir, table, name, wanted_spans).items():
        file_format = tables.format_of(path, table)
        with FileSystems.open(path) as stream:
            columns = tables.column_names(stream, file_format)
        present.update(columns)
        files.append((path, file_format))
        packed = file_format == "parquet" or path.endswith(tables.COMPRESSIONS)
        num_bytes += size * (COMPRESSION_RATIO if packed else 1)
        if file_format != "jsonl":
            _check_columns(name, dataset, set(columns), path, only_required=True)
    _check_columns(name, dataset, present, table.path, only_required=False)
    features = {
        column: feature
        for column, feature in dataset.features(name).items()
        if table.columns.get(column, column) in present
    }
    read_spans = spans.names((path for path, _ in files), tables.table_pattern(data_dir, table))
    return Source(name, table, features, tuple(files), num_bytes, tuple(read_spans))


def _check_columns(name: TableName, dataset: Dataset, present: set[str], where: str, only_required: bool) -> None:
    table = dataset.table(name)
    features = dataset.features(name)
    wanted = {column for column, feature in features.items() if feature.required}
    if not only_required:
        wanted |= set(table.features) | set(table.columns)
    missing = sorted(table.columns.get(column, column) for column in wanted)
    missing = [column for column in missing if column not in present]
    if missing and (present or not only_required):
        raise DatasetError(
            f"Table {name!r}: {where} has no column {', '.join(missing)}. "
            f"Columns there: {', '.join(sorted(present)) or 'none, it is empty'}. "
            f"Where a column has another name, say so in dataset.yaml: `{name}.columns: {{{missing[0]}: name}}`."
        )


def ingest(
    sources: Iterable[Source], destinations: dict[TableName, Examples], quarantine: Quarantine, config: Config
) -> dict[str, TableCounts]:
    """Runs the pipeline.

    Returns:
        What became of each table's rows.
    """
    privacy.load_key(config.user_key)  # If it is not there, that is better said before than by a worker.
    by_name = {source.name: source for source in sources}
    quarantine.path.mkdir(parents=True, exist_ok=True)
    with _between_steps(config.temp_dir) as spill_dir, quiet():
        options = PipelineOptions(list(config.beam_options))
        runner = FnApiRunner() if config.runner == "FnApiRunner" else config.runner
        with beam.Pipeline(runner=runner, options=options) as pipeline:
            _ = (
                pipeline
                | "Ingest" >> Ingest(by_name, destinations, quarantine, spill_dir, config)
                | "Report" >> beam.Map(_write_counts, spill_dir)
            )
        if config.temp_dir:
            for name, destination in destinations.items():
                _fetch(f"{spill_dir}/{DELIVERY}/{name}", destination.path)
            _fetch(f"{spill_dir}/{DELIVERY}/{QUARANTINE}", quarantine.path)
        return {name: _read_counts(source, spill_dir) for name, source in by_name.items()}


class Ingest(beam.PTransform):
    """From files to Examples and quarantine; yields (table, Counter of what became of its rows)."""

    def __init__(
        self,
        sources: dict[TableName, Source],
        destinations: dict[TableName, Examples],
        quarantine: Quarantine,
        spill_dir: str,
        config: Config,
    ):
        super().__init__()
        self._sources, self._destinations, self._quarantine = sources, destinations, quarantine
        self._spill_dir, self._config = spill_dir, config
        # Workers elsewhere see the temporary folder, not ours: they deliver there, and we fetch.
        self._delivery = f"{spill_dir}/{DELIVERY}" if config.temp_dir else ""
        self._num_shards = {
            name: max(1, math.ceil(source.num_bytes / (config.shard_megabytes << 20)))
            for name, source in sources.items()
        }

    def expand(self, pipeline: beam.Pipeline) -> beam.pvalue.PCollection:
        """Begins a pipeline with the sources' files."""
        files = [(name, index) for name, source in self._sources.items() for index in range(len(source.files))]
        shards = [((name, shard), None) for name, count in self._num_shards.items() for shard in range(count)]
        read = (
            pipeline
            | "Files" >> beam.Create(files)
            | "Spread" >> beam.Reshuffle()  # So that workers share the files.
            | "Read"
            >> beam.ParDo(
                _Read(self._sources, self._num_shards, self._spill_dir, self._config.user_key)
            ).with_outputs(main="chunks")
        )
        cuts = (
            read.times
            | "Times" >> beam.CombineGlobally(_MergeTimes()).without_defaults()
            | "Cuts" >> beam.Map(_cut, self._config)
        )
        written = (
            (read.chunks, pipeline | "Shards" >> beam.Create(shards))
            | "EveryShard" >> beam.Flatten()
            | "ByShard" >> beam.GroupByKey()
            | "Write"
            >> beam.ParDo(
                _WriteShard(self._sources, self._destinations, self._num_shards, self._config, self._delivery),
                beam.pvalue.AsSingleton(cuts, default_value=None),
            )
        )
        _ = (
            read.bad
            | "BadOfTable" >> beam.GroupByKey()
            | "Quarantine" >> beam.Map(_write_quarantine, self._quarantine, self._delivery)
        )
        counts = (read.counts, written) | "AllCounts" >> beam.Flatten()
        return counts | "Counts" >> beam.CombinePerKey(_sum_counters)


class _Read(beam.DoFn):
    """Reads files and spills their rows, block by block, sorted by shard."""

    def __init__(
        self, sources: dict[TableName, Source], num_shards: dict[TableName, int], spill_dir: str, user_key: str
    ):
        self._sources, self._num_shards, self._spill_dir = sources, num_shards, spill_dir
        self._user_key = user_key  # Where the key is: only workers read it.

    def process(self, element: tuple[TableName, int]) -> Iterator[Any]:
        """One file: yields ((table, shard), chunk), and tagged counts, bad and times."""
        name, index = element
        source = self._sources[name]
        path, file_format = source.files[index]
        key = privacy.load_key(self._user_key)
        with FileSystems.open(path) as stream:
            batches = tables.read_batches(stream, file_format, source.table, source.features)
            for number, batch in enumerate(batches if key is None else (_hide(batch, key) for batch in batches)):
                place = f"{self._spill_dir}/{name}-{index}-{number}-{uuid.uuid4().hex}"
                yield beam.pvalue.TaggedOutput("counts", (name, _count(name, batch)))
                if batch.bad:
                    bad = _spill_bad(batch.bad, path, f"{place}.jsonl")
                    yield beam.pvalue.TaggedOutput("bad", (name, _Chunk(index, number, bad, 0)))
                if not batch.rows.num_rows:
                    continue
                if name == "interactions":
                    yield beam.pvalue.TaggedOutput("times", _times(batch.rows["timestamp"].to_numpy()))
                shard = _shard(batch.rows[KEYS[name]], self._num_shards[name])
                for part, number_of_shard in enumerate(_spill(batch.rows, shard, f"{place}.arrow")):
                    yield (name, number_of_shard), _Chunk(index, number, f"{place}.arrow", part)


class _WriteShard(beam.DoFn):
    """Puts a shard's rows in order and writes its Examples, one file a split."""

    def __init__(
        self,
        sources: dict[TableName, Source],
        destinations: dict[TableName, Examples],
        num_shards: dict[TableName, int],
        config: Config,
        delivery: str,
    ):
        self._sources, self._destinations = sources, destinations
        self._num_shards, self._config, self._delivery = num_shards, config, delivery

    def process(
        self, element: tuple[tuple[TableName, int], Iterable[_Chunk | None]], cuts: Cuts | None
    ) -> Iterator[tuple[TableName, Counter[str]]]:
        """One shard of one table. There are no cuts if there are no interactions."""
        (name, shard), chunks = element
        rows = _read_chunks(chunks, tables.arrow_schema(self._sources[name].features))
        num_rows = rows.num_rows
        if name == "interactions":
            rows = example_gen.retain(rows, cuts)
            num_written, splits = example_gen.split_events(rows, self._config, cuts)
        else:
            kept = example_gen.last_of_each(rows, KEYS[name])
            num_written, splits = kept.num_rows, {example_gen.ALL: example_gen.list_rows(kept)}
        with _delivered(self._destinations[name], name, self._delivery) as destination:
            for split, examples in splits.items():
                example_io.write_split(destination, split, examples, shard, self._num_shards[name])
        expired, duplicates = num_rows - rows.num_rows, rows.num_rows - num_written
        yield name, Counter(written=num_written, duplicates=duplicates, expired=expired)


class _MergeTimes(beam.CombineFn):
    """A histogram of times, exact to the second while it has few bins, and else as fine as MAX_TIME_BINS allows.

    The width depends on all times together and not on the order in which they come.
    """

    def create_accumulator(self) -> Times:
        """No times."""
        return 1, np.empty(0, np.int64), np.empty(0, np.int64)

    def add_input(self, accumulator: Times, times: Times) -> Times:
        """Adds a histogram."""
        return self.merge_accumulators([accumulator, times])

    def merge_accumulators(self, accumulators: Iterable[Times]) -> Times:
        """Adds histograms up."""
        parts = list(accumulators)
        width = max(part[0] for part in parts)
        bins = np.concatenate([bins // (width // part_width) for part_width, bins, _ in parts])
        counts = np.concatenate([counts for _, _, counts in parts])
        while True:
            merged, where = np.unique(bins, return_inverse=True)
            if len(merged) <= MAX_TIME_BINS:
                return width, merged, np.bincount(where, counts, len(merged)).astype(np.int64)
            width, bins = width * 2, bins // 2

    def extract_output(self, accumulator: Times) -> Times:
        """As it is."""
        return accumulator


def _hide(batch: tables.Batch, key: bytes) -> tables.Batch:
    """The batch with pseudonyms for user ids, and without the text of bad rows, which may hold ids."""
    place = batch.rows.schema.get_field_index("user_id")
    if place < 0:
        return batch
    coded = batch.rows.column(place).dictionary_encode()
    names = pa.array([privacy.pseudonym(user, key) for user in coded.dictionary.to_pylist()], pa.string())
    columns = batch.rows.columns
    columns[place] = names.take(coded.indices)
    rows = pa.RecordBatch.from_arrays(columns, schema=batch.rows.schema)
    bad = tuple(dataclasses.replace(row, value=None, raw="(withheld)") for row in batch.bad)
    return tables.Batch(rows, batch.lines, bad)


def _times(seconds: npt.NDArray[np.int64]) -> Times:
    bins, counts = np.unique(seconds, return_counts=True)
    return 1, bins, counts


def _cut(times: Times, config: Config) -> Cuts | None:
    width, bins, counts = times
    return example_gen.find_cuts(bins * width, counts, config) if len(bins) else None


def _shard(keys: pa.Array, num_shards: int) -> npt.NDArray[np.int64]:
    """[num_rows] which shard each key belongs to, today and ever after."""
    if num_shards == 1:
        return np.zeros(len(keys), np.int64)
    coded = keys.cast(pa.binary()).dictionary_encode()
    distinct = coded.dictionary.to_numpy(zero_copy_only=False)
    shards = np.fromiter((zlib.crc32(key) % num_shards for key in distinct), np.int64, len(distinct))
    return shards[coded.indices.to_numpy()]


def _spill(rows: pa.RecordBatch, shard: npt.NDArray[np.int64], path: str) -> list[int]:
    """Writes one Arrow batch a shard into a file; returns which shards."""
    present, starts, lengths = np.unique(np.sort(shard), return_index=True, return_counts=True)
    by_shard = rows if len(present) == 1 else rows.take(pa.array(np.argsort(shard, kind="stable")))
    with (
        FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as sink,
        pa.ipc.new_file(sink, rows.schema) as writer,
    ):
        for start, length in zip(starts, lengths, strict=True):
            writer.write_batch(by_shard.slice(start, length))
    return [int(number) for number in present]


def _read_chunks(chunks: Iterable[_Chunk | None], schema: pa.Schema) -> pa.RecordBatch:
    """The rows of all chunks, in the order of the files."""
    batches = []
    for chunk in sorted(chunk for chunk in chunks if chunk is not None):
        with FileSystems.open(chunk.path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
            batches.append(pa.ipc.open_file(stream).get_batch(chunk.batch))
    together = pa.Table.from_batches(batches, schema).combine_chunks().to_batches()
    return (
        together[0] if together else pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)
    )


def _spill_bad(bad: Iterable[tables.BadRow], file: str, path: str) -> str:
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as sink:
        for row in bad:
            line = {"file": file} | dataclasses.asdict(row)
            sink.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
    return path


def _write_quarantine(element: tuple[TableName, Iterable[_Chunk]], quarantine: Quarantine, delivery: str) -> None:
    name, chunks = element
    with (
        _delivered(quarantine, QUARANTINE, delivery) as destination,
        (destination.path / f"{name}.jsonl").open("wb") as out,
    ):
        for chunk in sorted(chunks):
            with FileSystems.open(chunk.path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
                out.write(stream.read())


@contextlib.contextmanager
def _between_steps(temp_dir: str) -> Iterator[str]:
    """A folder for rows between the steps, below that path or URI or in the system's place; gone at the end."""
    if not temp_dir:
        with tempfile.TemporaryDirectory(prefix="homefeed-") as local:
            yield local
        return
    folder = f"{temp_dir.rstrip('/')}/homefeed-{uuid.uuid4().hex}"
    try:
        yield folder
    finally:
        FileSystems.delete([file.path for file in FileSystems.match([f"{folder}/**"])[0].metadata_list])
        shutil.rmtree(folder, ignore_errors=True)  # Where folders are things of their own.


@contextlib.contextmanager
def _delivered(artifact: AnyArtifact, name: str, delivery: str) -> Iterator[AnyArtifact]:
    """Where a worker writes: the artifact itself or, with a folder to deliver to, a copy whose files go there."""
    if not delivery:
        yield artifact
        return
    with tempfile.TemporaryDirectory(prefix="homefeed-") as scratch:
        root = pathlib.Path(scratch)
        yield dataclasses.replace(artifact, path=root)
        for file in (path for path in root.rglob("*") if path.is_file()):
            _copy(str(file), f"{delivery}/{name}/{file.relative_to(root).as_posix()}")


def _fetch(folder: str, destination: pathlib.Path) -> None:
    """Copies everything below a folder, a path or URI, here."""
    for file in FileSystems.match([f"{folder}/**"])[0].metadata_list:
        target = destination / file.path.removeprefix(f"{folder}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(file.path, str(target))


def _copy(source: str, target: str) -> None:
    plain = CompressionTypes.UNCOMPRESSED
    with (
        FileSystems.open(source, compression_type=plain) as read,
        FileSystems.create(target, compression_type=plain) as write,
    ):
        shutil.copyfileobj(read, write, 1 << 20)


def _count(name: str, batch: tables.Batch) -> Counter[str]:
    num_rows = len(batch.lines) + len(batch.bad)
    Metrics.counter("ExampleGen", f"{name}_rows").inc(num_rows)
    Metrics.counter("ExampleGen", f"{name}_quarantined").inc(len(batch.bad))
    counts = Counter(rows=num_rows, quarantined=len(batch.bad))
    counts.update(f"bad:{row.column or 'row'} {row.reason}" for row in batch.bad)
    return counts


def _sum_counters(counters: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total


def _write_counts(element: tuple[TableName, Counter[str]], folder: str) -> None:
    name, counts = element
    path = f"{folder}/{name}.json"
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as sink:
        sink.write(json.dumps(counts).encode())


def _read_counts(source: Source, folder: str) -> TableCounts:
    with FileSystems.open(f"{folder}/{source.name}.json", compression_type=CompressionTypes.UNCOMPRESSED) as stream:
        counts: dict[str, int] = json.loads(stream.read())
    names = ("rows", "written", "quarantined", "duplicates", "expired")
    reasons = {name.removeprefix("bad:"): count for name, count in counts.items() if name.startswith("bad:")}
    return TableCounts(**{name: counts.get(name, 0) for name in names}, reasons=reasons, spans=source.spans)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps Beam's own warnings, about what it does not need here, from the user."""
    logger = logging.getLogger("apache_beam")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
