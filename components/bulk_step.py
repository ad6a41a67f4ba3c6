# mypy: disable-error-code="misc"
"""The Beam step of BulkInferrer."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping

import apache_beam as beam

from components.bulk_inferrer import Shard, write_shard


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
        import models  # noqa: F401  Chooses the Keras version before TensorFlow is imported.
        from serving.predictors import LocalPredictor
        from serving.recommender import Recommender

        self._recommender = Recommender(LocalPredictor(self._models))

    def process(self, shard: Shard) -> Iterator[str]:
        """Recommends for each of the shard's users."""
        from serving.batch import recommend_all

        write_shard(
            list(recommend_all(self._recommender, shard.requests, self._k, self._batch_size)),
            self._folder,
            shard.name,
        )
        yield shard.name
