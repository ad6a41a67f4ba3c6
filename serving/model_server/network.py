"""The ports of a server, and the one event loop behind them."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from homefeed.serving.model_server import config
from homefeed.serving.model_server.api import grpc_api, tls
from homefeed.serving.model_server.api.asgi import AsgiApplication
from homefeed.serving.model_server.api.grpc_server import GrpcServer
from homefeed.serving.model_server.api.http_server import HttpServer
from homefeed.serving.model_server.api.rest import RestApi
from homefeed.serving.model_server.core import ServerCore
from homefeed.serving.model_server.flags import Flags
from homefeed.serving.model_server.intake import Intake
from homefeed.serving.model_server.messages import MonitoringConfig
from homefeed.serving.model_server.metrics import Metrics
from homefeed.serving.model_server.observation import Observer

# While it drains, REST still answers, and tells each client to go elsewhere with its next request.
_DRAIN_SECONDS = 1.0
_PROMETHEUS_PATH = "/monitoring/prometheus/metrics"
_T = TypeVar("_T")
_logger = logging.getLogger(__name__)


class Network:
    """Opens the ports of a server and closes them.

    Args:
        flags: the command line.
        core: serves the models.
        metrics: where requests are counted.
        grace_seconds: how long requests may take that are under way when it stops.
    """

    def __init__(self, flags: Flags, core: ServerCore, metrics: Metrics, grace_seconds: float):
        self._flags, self._core, self._metrics = flags, core, metrics
        self._grace_seconds = grace_seconds
        self._intake = Intake(flags.max_message_bytes)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._grpc: GrpcServer | None = None
        self._http: HttpServer | None = None
        self._rest: AsgiApplication | None = None

    def start(self) -> int:
        """Opens the ports.

        Returns:
            The TCP port that gRPC listens on.

        Raises:
            StatusError: a port is taken, or a configuration file is wrong.
        """
        loop = self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=[loop], name="network", daemon=True)
        self._thread.start()
        return _call(loop, self._start())

    def stop(self) -> None:
        """Takes no new request and finishes those in flight."""
        if self._loop and self._thread:
            _call(self._loop, self._stop())
            self._closing = True
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.run_forever()
        finally:
            loop.close()
            if not self._closing:
                # Nobody could be answered any more: whoever watches over the process starts it anew.
                _logger.critical("The thread that serves the ports ended.")
                os._exit(1)

    async def _start(self) -> int:
        methods = grpc_api.services(self._core, self._flags, Observer(self._metrics, "GRPC"))
        self._grpc = GrpcServer(methods, self._flags, self._intake)
        if self._flags.rest_api_port and self._flags.rest_api_port == self._flags.port:
            _logger.error("The REST API is left out: --rest_api_port is the same as --port.")
        elif self._flags.rest_api_port:
            await self._start_rest()
        await self._grpc.start()
        _logger.info("Running gRPC ModelServer at %s:%d ...", self._flags.host, self._grpc.port)
        return self._grpc.port

    async def _start_rest(self) -> None:
        flags = self._flags
        context = tls.http_context(flags.ssl_config_file) if flags.ssl_config_file else None
        api = RestApi(self._core, flags, Observer(self._metrics, "REST"), self._metrics_path(), self._metrics.text)
        self._rest = AsgiApplication(
            api,
            self._intake,
            flags.rest_api_num_threads,
            flags.max_message_bytes,
            cors=flags.rest_api_enable_cors_support,
        )
        self._http = HttpServer(self._rest, flags.host, flags.rest_api_port, context, self._grace_seconds)
        await self._http.start()
        _logger.info("Exporting HTTP/REST API at:%s:%d ...", flags.host, flags.rest_api_port)

    def _metrics_path(self) -> str:
        if not self._flags.monitoring_config_file:
            return ""
        prometheus = config.read_text_proto(self._flags.monitoring_config_file, MonitoringConfig).prometheus_config
        return (prometheus.path or _PROMETHEUS_PATH) if prometheus.enable else ""

    async def _stop(self) -> None:
        stops = [self._grpc.stop(self._grace_seconds)] if self._grpc else []
        if self._http:
            stops.append(self._stop_rest(self._http))
        await asyncio.gather(*stops)

    async def _stop_rest(self, http: HttpServer) -> None:
        if self._rest:
            self._rest.draining = True
            await asyncio.sleep(_DRAIN_SECONDS)
        await http.stop()
        if self._rest:
            self._rest.close()


def _call(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()
