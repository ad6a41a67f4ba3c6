# mypy: disable-error-code="no-untyped-call, misc"
"""Beam's runner on Dask, with a client that ends, and workers that agree."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import Any

import distributed
from apache_beam.runners.dask import dask_runner

from homefeed.components.beam.errors import BeamError


class DaskRunner(dask_runner.DaskRunner):
    """Runs on the scheduler at `--dask_client_address` or, without one, on processes of this machine."""

    def run_pipeline(self, pipeline: Any, options: Any) -> DaskResult:
        """Starts the pipeline.

        Raises:
            BeamError: workers hash the same text differently.
        """
        dask_options = options.view_as(dask_runner.DaskOptions)
        if not dask_options.npartitions and not dask_options.partition_size:
            dask_options.partition_size = 1  # Not Beam's 128: an element is a file, or what thousands of users get.
        started = super().run_pipeline(pipeline, options)
        result = DaskResult(started.client, started.futures)
        _check_hashes(result)
        return result


class DaskResult(dask_runner.DaskRunnerResult):
    """A pipeline that was started."""

    def wait_until_finish(self, duration: int | None = None) -> str:
        """Waits, and closes the client.

        Raises:
            BeamError: workers were lost more often than Dask bears, or the scheduler was.
        """
        try:
            return super().wait_until_finish(duration)
        except (distributed.KilledWorker, CancelledError) as error:
            raise BeamError(
                f"the pipeline on DaskRunner failed: {error}; the logs of its workers say more"
            ) from error
        finally:
            self.client.close()


def _check_hashes(result: DaskResult) -> None:
    """Dask brings equal keys together by their hashes: where they differ, rows would be lost in silence."""
    seeds = result.client.run(hash, "homefeed")
    if len(set(seeds.values())) > 1:
        result.cancel()
        result.client.close()
        raise BeamError(
            f"the {len(seeds)} Dask workers hash texts differently, so equal keys would not meet: start them with a "
            "nanny, Dask's default, or with one PYTHONHASHSEED for all"
        )
