# mypy: disable-error-code="no-untyped-call, misc"
"""BulkInferrer on Beam."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

import apache_beam as beam

from homefeed.components.artifacts.user_requests import UserTables
from homefeed.components.beam.pipeline import beam_pipeline
from homefeed.components.bulk_inferrer.shards import Shard, write_shard
from homefeed.models.requests import Request
from homefeed.serving.batch import recommend_all
from homefeed.serving.predictors import LocalPredictor
from homefeed.serving.recommender import FUSED, Recommender


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is asked for.

    Attributes:
        k: items for each user.
        now: the requests' time, Unix seconds.
        batch_size: users in one call of the model.
    """

    k: int
    now: int
    batch_size: int


def infer(
    shards: Sequence[Shard],
    tables: UserTables,
    saved_model: pathlib.Path,
    folder: pathlib.Path,
    asked: Asked,
    runner: str = "FnApiRunner",
    beam_options: Sequence[str] = (),
) -> list[Shard]:
    """Recommends for the shards that are not in the folder yet; gives those.

    Args:
        shards: of users.
        tables: where every worker reads who they are, and what they did.
        saved_model: the fused model.
        folder: gets the files; every worker can write there.
        asked: what for.
        runner: Beam's.
        beam_options: Beam's.
    """
    waiting = [shard for shard in shards if not shard.is_finished(folder)]
    if waiting:
        unread = dataclasses.replace(tables)  # Without what it holds by now: Dataflow takes pipelines of 20 MB.
        with beam_pipeline(runner, beam_options) as pipeline:
            _ = (
                pipeline
                | "Shards" >> beam.Create(waiting)
                | "Spread" >> beam.Reshuffle()
                | "Recommend" >> beam.ParDo(RecommendShard(unread, saved_model, folder, asked))
            )
    return waiting


class RecommendShard(beam.DoFn):
    """Recommends for each user of a shard, and writes it; gives its name.

    Args:
        tables: where it reads who they are, and what they did.
        saved_model: the fused model, loaded once a worker.
        folder: gets the files; every worker can write there.
        asked: what for.
    """

    def __init__(self, tables: UserTables, saved_model: pathlib.Path, folder: pathlib.Path, asked: Asked):
        self._tables, self._saved_model, self._folder, self._asked = tables, saved_model, folder, asked

    def setup(self) -> None:
        """Loads the model."""
        self._recommender = Recommender(LocalPredictor({FUSED: self._saved_model}))

    def process(self, shard: Shard) -> Iterator[str]:
        """Writes the files of a shard."""
        requests = self._requests(shard)
        rows = recommend_all(self._recommender, requests, self._asked.k, self._asked.batch_size)
        write_shard(rows, self._folder, shard)
        yield shard.name

    def _requests(self, shard: Shard) -> Iterator[Request]:
        """Equal lengths side by side: a batch is padded to its longest history."""
        users = self._tables.requests(shard.number)
        user_ids = sorted(users.user_ids[: shard.num_users], key=users.num_events)
        return (dataclasses.replace(request, timestamp=self._asked.now) for request in users.of(user_ids))
