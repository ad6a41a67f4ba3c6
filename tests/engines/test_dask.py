import pathlib

import apache_beam as beam
import pytest

from homefeed.components.beam.errors import BeamError
from homefeed.components.beam.pipeline import beam_pipeline
from tests.engines import clusters

pytestmark = pytest.mark.engines


def test_workers_that_hash_texts_differently_are_refused(tmp_path: pathlib.Path) -> None:
    with (
        clusters.dask(tmp_path, "--no-nanny") as cluster,
        pytest.raises(BeamError, match=r"2 Dask workers hash texts differently.*PYTHONHASHSEED"),
        beam_pipeline(cluster.runner, cluster.options) as pipeline,
    ):
        _ = pipeline | beam.Create([("a", 1), ("b", 2)]) | beam.GroupByKey()


def test_an_error_of_a_step_reaches_the_caller(tmp_path: pathlib.Path) -> None:
    with (
        clusters.dask(tmp_path) as cluster,
        pytest.raises(ZeroDivisionError),
        beam_pipeline(cluster.runner, cluster.options) as pipeline,
    ):
        _ = pipeline | beam.Create([0]) | beam.Map(lambda number: 1 / number)
