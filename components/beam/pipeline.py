# mypy: disable-error-code="no-untyped-call"
"""How a component runs on Beam: on which runner, with which options, without Beam's own warnings."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from homefeed.components.beam import workers  # noqa: F401  Beam takes them in place of its own.
from homefeed.components.beam.errors import BeamError
from homefeed.schemas.errors import HomefeedError


@contextlib.contextmanager
def beam_pipeline(runner: str, options: Sequence[str]) -> Iterator[beam.Pipeline]:
    """A pipeline that runs at the end of the block.

    Args:
        runner: Beam's name of it; `FnApiRunner` and `DirectRunner` are in this process.
        options: passed to Beam, such as `--project=my-project`.

    Raises:
        BeamError: the runner was not reached, or lost its workers.
        HomefeedError, OSError, MemoryError: as a step raised it.
    """
    _reach_this_machine_directly()
    try:
        with quiet(), beam.Pipeline(runner=_find_runner(runner), options=PipelineOptions(list(options))) as pipeline:
            yield pipeline
    except (RuntimeError, grpc.RpcError, grpc.FutureTimeoutError) as error:
        raise _cause(error, runner) from error


def _find_runner(name: str) -> Any:
    short = name.lower().removesuffix("runner")
    if short in ("direct", "fnapi"):
        # DirectRunner would choose it, but only after it has tried, without a time limit, to download another.
        return FnApiRunner()
    if short != "dask":
        return name
    try:
        from homefeed.components.beam.dask import DaskRunner
    except ImportError as error:
        raise BeamError(f"DaskRunner needs a package: {error}; mend it with pip install 'homefeed[dask]'") from error
    return DaskRunner()


def _cause(error: Exception, runner: str) -> BaseException:
    """What Beam wrapped: what a step raised or, where that is but text, that the machines of the runner failed."""
    chain: list[BaseException] = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(before)
    told = next((one for one in chain if isinstance(one, HomefeedError | OSError | MemoryError)), None)
    if told is not None:
        return told
    if any(not isinstance(one, RuntimeError | grpc.RpcError | grpc.FutureTimeoutError) for one in chain):
        return error
    lines = str(error).strip().splitlines() or ["it did not answer in time"]
    return BeamError(f"the pipeline on {runner} failed: {lines[-1]}; the logs of its workers say more")


def _reach_this_machine_directly() -> None:
    """Local workers and job servers are asked over gRPC, which takes the environment's proxy even to them."""
    excepted = os.environ.get("no_proxy", "").split(",")
    os.environ["no_proxy"] = ",".join(dict.fromkeys(filter(None, [*excepted, "localhost", "127.0.0.1", "::1"])))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what Beam says of itself from the user: what stops a pipeline is raised, too."""
    logger, tell = logging.getLogger("apache_beam"), threading.excepthook
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    # Threads that read what a worker says end so where that is gone.
    threading.excepthook = lambda end: None if isinstance(end.exc_value, grpc.RpcError) else tell(end)
    try:
        yield
    finally:
        logger.setLevel(level)
        threading.excepthook = tell
