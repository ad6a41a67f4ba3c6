# mypy: disable-error-code="no-untyped-call, misc"
"""StatisticsGen on Beam: a shard, or of very many some, is counted by itself."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping, Sequence

import apache_beam as beam

from homefeed.components.artifacts import example_io
from homefeed.components.beam.pipeline import beam_pipeline
from homefeed.components.statistics_gen.accumulators import Accumulators, Totals
from homefeed.schemas.scratch import replacing

MAX_PARTS = 32  # Of a split: what TFDV counts of a part is some MB, and all are held when they are added up.
Part = tuple[str, int, list[str]]
"""File of the statistics, number of the part among those that they are of, its shards; none of a split of none."""


def describe_each(
    files: Mapping[pathlib.Path, Sequence[pathlib.Path]],
    accumulators: Accumulators,
    runner: str = "FnApiRunner",
    beam_options: Sequence[str] = (),
) -> None:
    """Writes statistics; whatever the runner, the same but for what TFDV's sketches estimate of many distinct texts.

    Args:
        files: of the statistics → of the Examples that they are of.
        accumulators: count.
        runner: Beam's.
        beam_options: Beam's.
    """
    parts: list[Part] = []
    for to, of in files.items():
        to.parent.mkdir(parents=True, exist_ok=True)
        parts += [(str(to), number, part) for number, part in enumerate(_parted(of))]
    with beam_pipeline(runner, beam_options) as pipeline:
        _ = (
            pipeline
            | "Parts" >> beam.Create(parts)
            | "Spread" >> beam.Reshuffle()
            | "Count" >> beam.Map(_count, accumulators)
            | "Of a split" >> beam.GroupByKey()
            | "Describe" >> beam.Map(_describe, accumulators)
        )


def _parted(files: Sequence[pathlib.Path]) -> list[list[str]]:
    size = max(-(-len(files) // MAX_PARTS), 1)
    return [[*map(str, files[start : start + size])] for start in range(0, len(files), size)] or [[]]


def _count(part: Part, accumulators: Accumulators) -> tuple[str, tuple[int, Totals]]:
    to, number, files = part
    return to, (number, accumulators.count(example_io.read_shards(files)))


def _describe(counted: tuple[str, Iterable[tuple[int, Totals]]], accumulators: Accumulators) -> None:
    to, parts = counted
    in_order = [totals for _, totals in sorted(parts, key=lambda part: part[0])]
    with replacing(pathlib.Path(to)) as place:
        place.write_bytes(accumulators.describe(in_order).SerializeToString(deterministic=True))
