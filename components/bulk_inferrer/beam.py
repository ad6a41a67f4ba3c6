# mypy: disable-error-code="no-untyped-call, misc"
"""BulkInferrer on Beam."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import apache_beam as beam

from homefeed.components.beam.pipeline import beam_pipeline
from homefeed.components.bulk_inferrer.shards import (
    Shard,
    read_requests,
    remove_requests,
    write_requests,
    write_shard,
)
from homefeed.models.requests import Request
from homefeed.serving.batch import recommend_all
from homefeed.serving.predictors import LocalPredictor
from homefeed.serving.recommender import FUSED, Recommender

Requests = Callable[[Sequence[str]], Iterable[Request]]
"""User ids → their requests."""


def infer(
    shards: Sequence[Shard],
    requests_of: Requests,
    saved_model: pathlib.Path,
    folder: pathlib.Path,
    *,
    k: int,
    batch_size: int,
    runner: str = "FnApiRunner",
    beam_options: Sequence[str] = (),
) -> int:
    """Recommends for the shards that are not in the folder yet; gives the number of users in those.

    Requests travel in files of the folder, for what a pipeline is made of has to be small: Dataflow takes 20 MB. They
    are removed at the end, whatever happened: they hold histories, and are written anew by whoever goes on.

    Args:
        shards: of all users.
        requests_of: makes the requests of some.
        saved_model: the fused model.
        folder: gets the files; every worker can write there.
        k: items for each user.
        batch_size: users in one call.
        runner: Beam's.
        beam_options: Beam's.
    """
    waiting = [shard for shard in shards if not shard.is_finished(folder)]
    if not waiting:
        return 0
    try:
        for shard in waiting:
            # Equal lengths side by side: a batch is padded to its longest history.
            asked = sorted(requests_of(shard.user_ids), key=lambda request: len(request.history))
            write_requests(asked, folder, shard.name)
        with beam_pipeline(runner, beam_options) as pipeline:
            _ = (
                pipeline
                | "Shards" >> beam.Create([shard.name for shard in waiting])
                | "Spread" >> beam.Reshuffle()
                | "Recommend" >> beam.ParDo(RecommendShard(saved_model, folder, k, batch_size))
            )
    finally:
        remove_requests(folder)
    return sum(len(shard.user_ids) for shard in waiting)


class RecommendShard(beam.DoFn):
    """Reads the requests of a shard and writes its recommendations; gives its name.

    Args:
        saved_model: the fused model, loaded once a worker.
        folder: holds the requests and gets the files; every worker can write there.
        k: items for each user.
        batch_size: users in one call.
    """

    def __init__(self, saved_model: pathlib.Path, folder: pathlib.Path, k: int, batch_size: int):
        self._saved_model, self._folder, self._k, self._batch_size = saved_model, folder, k, batch_size

    def setup(self) -> None:
        """Loads the model."""
        self._recommender = Recommender(LocalPredictor({FUSED: self._saved_model}))

    def process(self, name: str) -> Iterator[str]:
        """Recommends for each of a shard's requests."""
        asked = read_requests(self._folder, name)
        write_shard(list(recommend_all(self._recommender, asked, self._k, self._batch_size)), self._folder, name)
        yield name
