"""Measures requests: how long they took, how they ended, how long the model ran."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence

from homefeed.serving.model_server.errors import Code, StatusError
from homefeed.serving.model_server.loading.servable import Array, Runner, Servable
from homefeed.serving.model_server.metrics import Metrics

_RUNTIME = "TF1"


@dataclasses.dataclass(frozen=True)
class Observer:
    """Writes the metrics of the requests that come in through one protocol.

    Attributes:
        entrypoint: GRPC or REST.
    """

    metrics: Metrics
    entrypoint: str

    @contextlib.contextmanager
    def request(self, model_name: str, api: str) -> Iterator[None]:
        """Counts a request under its outcome; its latency only when it went well."""
        start = time.monotonic()
        code = Code.INTERNAL
        try:
            yield
            code = Code.OK
        except StatusError as error:
            code = error.code
            raise
        finally:
            self.metrics.request_count.add(model_name, code.name)
            if code is Code.OK:
                self.metrics.request_latency.observe(micros_since(start), model_name, api, self.entrypoint)

    def timed(self, servable: Servable, api: str) -> Servable:
        """The same servable, with the time of each of its runs measured."""
        return dataclasses.replace(servable, runner=_TimedRunner(servable.runner, self.metrics, servable.name, api))


@dataclasses.dataclass(frozen=True)
class _TimedRunner:
    runner: Runner
    metrics: Metrics
    model_name: str
    api: str

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_seconds: float | None = None
    ) -> list[Array]:
        start = time.monotonic()
        values = self.runner.run(feeds, fetches, timeout_seconds)
        self.metrics.runtime_latency.observe(micros_since(start), self.model_name, self.api, _RUNTIME)
        return values

    def close(self) -> None:
        self.runner.close()


def micros_since(start: float) -> float:
    """Microseconds since a `time.monotonic()`."""
    return (time.monotonic() - start) * 1e6
