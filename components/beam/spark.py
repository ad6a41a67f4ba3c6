# mypy: disable-error-code="no-untyped-call, misc, type-arg"
"""Beam on Spark without a job server: the package beam-pyspark-runner, on the cluster of Beam's own option."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import SparkRunnerOptions
from apache_beam.pipeline import PTransformOverride
from beam_pyspark_runner import pyspark_runner, transform_evaluators
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from homefeed.components.beam.errors import BeamError


class PySparkRunner(pyspark_runner.PySparkRunner):
    """Runs on the master at `--spark_master_url`; executors run the Python of this process, by its path."""

    def run_pipeline(self, pipeline: Any, options: Any) -> Any:
        """Runs the pipeline to its end.

        Raises:
            BeamError: a step failed, or the cluster did.
        """
        pipeline.replace_all([_ReshuffleOverride()])
        transform_evaluators.evaluator_mapping[_Spread] = _spread
        with _session(options.view_as(SparkRunnerOptions).spark_master_url):
            return super().run_pipeline(pipeline, options)


@contextmanager
def _session(master: str) -> Iterator[None]:
    """The session that the runner finds; Spark's own settings are in SPARK_CONF_DIR, as ever."""
    builder = SparkSession.builder.master(master).config("spark.pyspark.python", sys.executable)
    session = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()
    session.sparkContext.setLogLevel("OFF")  # What stops a pipeline is raised.
    try:
        yield
    except Py4JError as error:
        raise BeamError(
            f"the pipeline on PySparkRunner failed: {_last_line(str(error))}; Spark's logs say more"
        ) from error
    finally:
        session.stop()


def _last_line(said: str) -> str:
    """What Python said last on an executor or, where it did not come to that, what Spark said first."""
    lines = re.findall(r"^(\w[\w.]*(?:Error|Exception|Interrupt): .+)$", said, re.MULTILINE)
    python = [line for line in lines if not line.startswith(("org.apache.", "java."))]
    return str((python or [line for line in said.splitlines() if line.strip()])[-1 if python else 0]).strip()


class _Spread(beam.PTransform):
    def expand(self, elements: Any) -> Any:
        return beam.pvalue.PCollection.from_(elements)


class _ReshuffleOverride(PTransformOverride):
    """Beam's Reshuffle keeps times of elements, of which that package knows nothing."""

    def matches(self, applied_ptransform: Any) -> bool:
        return isinstance(applied_ptransform.transform, beam.Reshuffle)

    def get_replacement_transform_for_applied_ptransform(self, applied_ptransform: Any) -> beam.PTransform:
        return _Spread()


def _spread(applied: Any, inputs: Any, context: Any, side_inputs: Any = None) -> Any:
    """One element a task: it is a file, or what thousands of users get. Spark's `repartition` keeps ten together."""
    (elements,) = inputs
    numbered = elements.zipWithIndex().map(lambda pair: (pair[1], pair[0]))
    return numbered.partitionBy(max(1, elements.count())).values()
