# mypy: disable-error-code="no-untyped-call, misc"
"""Transform's steps on Beam: each takes a shard of users, wherever a worker is."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence

import apache_beam as beam

from homefeed.components.beam.pipeline import beam_pipeline
from homefeed.components.transform import counts
from homefeed.components.transform.counts import Counts


def count_each(
    num_shards: int,
    step: Callable[[int], Counts],
    folder: pathlib.Path,
    runner: str = "FnApiRunner",
    beam_options: Sequence[str] = (),
) -> Counts:
    """Does a step for each shard, and adds up what it counted.

    Args:
        num_shards: numbers from 0 are what the step gets.
        step: is pickled.
        folder: for what is counted, where every worker can write; not there before.
        runner: Beam's.
        beam_options: Beam's.
    """
    folder.mkdir()
    with beam_pipeline(runner, beam_options) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(range(num_shards))
            | "Spread" >> beam.Reshuffle()
            | "Count" >> beam.Map(_count, step, folder)
        )
    return counts.add_up(_file(folder, shard) for shard in range(num_shards))  # By name: folders are cached.


def _count(shard: int, step: Callable[[int], Counts], folder: pathlib.Path) -> None:
    counts.write(step(shard), _file(folder, shard))


def _file(folder: pathlib.Path, shard: int) -> pathlib.Path:
    return folder / f"{shard:05d}.arrow"
