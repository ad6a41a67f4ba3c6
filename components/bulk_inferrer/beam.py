# mypy: disable-error-code="no-untyped-call, misc"
"""BulkInferrer on Beam."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from homefeed.components.bulk_inferrer.component import Config, Shard, write_shard


def recommend_shards(
    shards: Sequence[Shard], models: Mapping[str, pathlib.Path], folder: pathlib.Path, config: Config
) -> None:
    """Writes the recommendations of some shards into a folder."""
    runner = FnApiRunner() if config.runner == "FnApiRunner" else config.runner
    recommend = RecommendShard(models, folder, config.k, config.batch_size)
    with beam.Pipeline(runner=runner, options=PipelineOptions(list(config.beam_options))) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(shards)
            | "Spread" >> beam.Reshuffle()
            | "Recommend" >> beam.ParDo(recommend)
        )


class RecommendShard(beam.DoFn):
    """Writes the recommendations of a shard; gives its name.

    Args:
        models: model name → SavedModel, loaded once a worker.
        folder: gets the files; every worker can write there.
        k: items for each user.
        batch_size: users in one call.
    """

    def __init__(self, models: Mapping[str, pathlib.Path], folder: pathlib.Path, k: int, batch_size: int):
        self._models, self._folder, self._k, self._batch_size = dict(models), folder, k, batch_size

    def setup(self) -> None:
        """Loads the models."""
        import homefeed.models  # noqa: F401  Chooses the Keras version before TensorFlow is imported.
        from homefeed.serving.predictors import LocalPredictor
        from homefeed.serving.recommender import Recommender

        self._recommender = Recommender(LocalPredictor(self._models))

    def process(self, shard: Shard) -> Iterator[str]:
        """Recommends for each of the shard's users."""
        from homefeed.serving.batch import recommend_all

        write_shard(
            list(recommend_all(self._recommender, shard.requests, self._k, self._batch_size)),
            self._folder,
            shard.name,
        )
        yield shard.name
