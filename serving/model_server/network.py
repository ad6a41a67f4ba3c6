"""The ports of a server."""

from __future__ import annotations

import logging
import time

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

# While it drains, the server still answers, and says to each client that it will stop.
_DRAIN_SECONDS = 1.0
_PROMETHEUS_PATH = "/monitoring/prometheus/metrics"
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
        self._grpc: GrpcServer | None = None
        self._rest: HttpServer | None = None

    def start(self) -> int:
        """Opens the ports.

        Returns:
            The TCP port that gRPC listens on.

        Raises:
            StatusError: a port is taken, or a configuration file is wrong.
        """
        flags = self._flags
        methods = grpc_api.services(self._core, flags, Observer(self._metrics, "GRPC"))
        self._grpc = GrpcServer(methods, flags, self._intake)
        if flags.rest_api_port and flags.rest_api_port == flags.port:
            _logger.error("The REST API is left out: --rest_api_port is the same as --port.")
        elif flags.rest_api_port:
            self._rest = self._make_rest()
            self._rest.start()
            _logger.info("Exporting HTTP/REST API at:%s:%d ...", flags.host, flags.rest_api_port)
        self._grpc.start()
        _logger.info("Running gRPC ModelServer at %s:%d ...", flags.host, self._grpc.port)
        return self._grpc.port

    def _make_rest(self) -> HttpServer:
        flags = self._flags
        api = RestApi(self._core, flags, Observer(self._metrics, "REST"), self._metrics_path(), self._metrics.text)
        application = AsgiApplication(
            api,
            self._intake,
            flags.rest_api_num_threads,
            flags.max_message_bytes,
            cors=flags.rest_api_enable_cors_support,
        )
        context = tls.http_context(flags.ssl_config_file) if flags.ssl_config_file else None
        return HttpServer(application, flags.host, flags.rest_api_port, context)

    def _metrics_path(self) -> str:
        if not self._flags.monitoring_config_file:
            return ""
        prometheus = config.read_text_proto(self._flags.monitoring_config_file, MonitoringConfig).prometheus_config
        return (prometheus.path or _PROMETHEUS_PATH) if prometheus.enable else ""

    def stop(self) -> None:
        """Tells clients to go elsewhere, then takes no new request and finishes those in flight."""
        ports = [port for port in (self._grpc, self._rest) if port]
        for port in ports:
            port.drain()
        if self._rest or self._flags.enable_grpc_healthcheck_service:
            time.sleep(_DRAIN_SECONDS)
        for port in ports:
            port.stop(self._grace_seconds)
