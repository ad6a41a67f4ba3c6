# mypy: disable-error-code="no-untyped-call"
"""How a component runs on Beam: on which runner, with which options, without Beam's own warnings."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from homefeed.schemas.errors import HomefeedError


@contextlib.contextmanager
def beam_pipeline(runner: str, options: Sequence[str]) -> Iterator[beam.Pipeline]:
    """A pipeline that runs at the end of the block.

    Args:
        runner: Beam's name of it; `FnApiRunner` and `DirectRunner` are in this process.
        options: passed to Beam, such as `--project=my-project`.
    """
    _reach_this_machine_directly()
    # DirectRunner would choose FnApiRunner, but only after it has tried, without a time limit, to download another.
    chosen = FnApiRunner() if runner.lower().removesuffix("runner") in ("direct", "fnapi") else runner
    try:
        with quiet(), beam.Pipeline(runner=chosen, options=PipelineOptions(list(options))) as pipeline:
            yield pipeline
    except RuntimeError as error:
        raise _cause(error) from error


def _cause(error: BaseException) -> BaseException:
    """What a user can mend of what Beam wrapped; without it, the error itself."""
    wrapped: BaseException | None = error
    while wrapped is not None:
        if isinstance(wrapped, HomefeedError | OSError | MemoryError):
            return wrapped
        wrapped = wrapped.__cause__ or wrapped.__context__
    return error


def _reach_this_machine_directly() -> None:
    """Local workers and job servers are asked over gRPC, which takes the environment's proxy even to them."""
    excepted = os.environ.get("no_proxy", "").split(",")
    os.environ["no_proxy"] = ",".join(dict.fromkeys(filter(None, [*excepted, "localhost", "127.0.0.1", "::1"])))


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
