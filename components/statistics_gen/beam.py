# mypy: disable-error-code="no-untyped-call, misc"
"""StatisticsGen on Beam: each shard is counted by itself."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping, Sequence

import apache_beam as beam

from homefeed.components.artifacts import example_io
from homefeed.components.beam.pipeline import beam_pipeline
from homefeed.components.statistics_gen.accumulators import Accumulators, Totals
from homefeed.schemas.scratch import replacing

Shard = tuple[str, int, list[str]]
"""File of the statistics, number of the shard among those that they are of, its file; none of a split of none."""


def describe_each(
    files: Mapping[pathlib.Path, Sequence[pathlib.Path]],
    accumulators: Accumulators,
    runner: str = "FnApiRunner",
    beam_options: Sequence[str] = (),
) -> None:
    """Writes statistics; whatever the runner, the same bytes.

    Args:
        files: of the statistics → of the Examples that they are of.
        accumulators: count.
        runner: Beam's.
        beam_options: Beam's.
    """
    shards: list[Shard] = []
    for to, of in files.items():
        to.parent.mkdir(parents=True, exist_ok=True)
        shards += [(str(to), number, part) for number, part in enumerate([[str(file)] for file in of] or [[]])]
    with beam_pipeline(runner, beam_options) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(shards)
            | "Spread" >> beam.Reshuffle()
            | "Count" >> beam.Map(_count, accumulators)
            | "Of a split" >> beam.GroupByKey()
            | "Describe" >> beam.Map(_describe, accumulators)
        )


def _count(shard: Shard, accumulators: Accumulators) -> tuple[str, tuple[int, Totals]]:
    to, number, part = shard
    return to, (number, accumulators.count(example_io.read_shards(part)))


def _describe(counted: tuple[str, Iterable[tuple[int, Totals]]], accumulators: Accumulators) -> None:
    to, shards = counted
    in_order = [totals for _, totals in sorted(shards, key=lambda shard: shard[0])]
    with replacing(pathlib.Path(to)) as place:
        place.write_bytes(accumulators.describe(in_order).SerializeToString(deterministic=True))
