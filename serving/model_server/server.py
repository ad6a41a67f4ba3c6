"""Puts the parts together: start, ports, shutdown."""

import concurrent.futures
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import grpc

from homefeed.serving.model_server import config, flags
from homefeed.serving.model_server.api import grpc_api, tls
from homefeed.serving.model_server.api.http_server import HttpServer
from homefeed.serving.model_server.api.rest import RestApi
from homefeed.serving.model_server.core import ServerCore
from homefeed.serving.model_server.errors import Code, StatusError, invalid_argument
from homefeed.serving.model_server.execution.c_api import tensorflow_version
from homefeed.serving.model_server.loading.saved_model import ModelLoader
from homefeed.serving.model_server.messages import MonitoringConfig
from homefeed.serving.model_server.metrics import Metrics
from homefeed.serving.model_server.observation import Observer

# Threads of gRPC's pool wait while TensorFlow computes, and a batch can only hold requests that have a thread.
_MIN_GRPC_THREADS = 64
_SHUTDOWN_GRACE_SECONDS = 30.0
_PROMETHEUS_PATH = "/monitoring/prometheus/metrics"
_logger = logging.getLogger(__name__)


class ModelServer:
    """A model server that runs until `stop`.

    Args:
        server_flags: the command line.

    Attributes:
        grpc_port: the TCP port that gRPC listens on, known after `start`.
        stopping: set it to end the wait for models inside `start`, before calling `stop`.

    Raises:
        StatusError: INVALID_ARGUMENT, the flags do not fit together or name files that cannot be read.
    """

    def __init__(self, server_flags: flags.Flags):
        _check(server_flags)
        self._flags = server_flags
        self.stopping = threading.Event()
        self._metrics = Metrics()
        self._core = ServerCore(server_flags, ModelLoader(server_flags, self._metrics), self.stopping)
        self._grpc_server: grpc.Server | None = None
        self._http_server: HttpServer | None = None
        self.grpc_port = 0

    def start(self) -> None:
        """Loads the models, then opens the ports.

        Raises:
            StatusError: wrong configuration, a model that cannot be loaded, a port that is taken.
        """
        self._core.start(config.from_flags(self._flags))
        if self.stopping.is_set():
            return
        grpc_server = self._build_grpc_server()
        if self._flags.rest_api_port and self._flags.rest_api_port == self._flags.port:
            _logger.error("The REST API is left out: --rest_api_port is the same as --port.")
        elif self._flags.rest_api_port:
            self._http_server = self._build_http_server()
            self._http_server.start()
            _logger.info("Exporting HTTP/REST API at:%s:%d ...", self._flags.host, self._flags.rest_api_port)
        grpc_server.start()
        self._grpc_server = grpc_server
        _logger.info("Running gRPC ModelServer at %s:%d ...", self._flags.host, self.grpc_port)

    def _build_grpc_server(self) -> grpc.Server:
        threads = max(self._flags.grpc_max_threads, _MIN_GRPC_THREADS)
        server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(threads, "grpc"), options=_grpc_options(self._flags)
        )
        grpc_api.add_services(server, self._core, self._flags, Observer(self._metrics, "GRPC"))
        try:
            self._bind(server)
        except RuntimeError as error:
            raise StatusError(Code.UNKNOWN, f"Error binding to the gRPC address: {error}") from error
        return server

    def _bind(self, server: grpc.Server) -> None:
        address = f"{self._flags.host}:{self._flags.port}"
        if self._flags.port and self._flags.ssl_config_file:
            credentials = tls.server_credentials(self._flags.ssl_config_file)
            self.grpc_port = server.add_secure_port(address, credentials)
        elif self._flags.port:
            self.grpc_port = server.add_insecure_port(address)
        if self._flags.grpc_socket_path:
            server.add_insecure_port(f"unix:{self._flags.grpc_socket_path}")

    def _build_http_server(self) -> HttpServer:
        metrics_path = ""
        if self._flags.monitoring_config_file:
            prometheus = config.read_text_proto(
                self._flags.monitoring_config_file, MonitoringConfig
            ).prometheus_config
            metrics_path = (prometheus.path or _PROMETHEUS_PATH) if prometheus.enable else ""
        api = RestApi(self._core, self._flags, Observer(self._metrics, "REST"), metrics_path, self._metrics.text)
        return HttpServer(
            api,
            self._flags.host,
            self._flags.rest_api_port,
            self._flags.rest_api_num_threads,
            self._flags.max_message_bytes,
        )

    def stop(self) -> None:
        """Takes no new request, finishes those in flight, and frees everything."""
        self.stopping.set()
        if self._grpc_server:
            self._grpc_server.stop(_SHUTDOWN_GRACE_SECONDS).wait()
        if self._http_server:
            self._http_server.stop()
        self._core.stop()


def _check(server_flags: flags.Flags) -> None:
    if not server_flags.port and not server_flags.grpc_socket_path:
        raise invalid_argument(
            "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set."
        )
    if server_flags.batching_parameters_file and not server_flags.enable_batching:
        raise invalid_argument(
            "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."
        )


def _grpc_options(server_flags: flags.Flags) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", server_flags.max_message_bytes),
        ("grpc.max_send_message_length", server_flags.max_message_bytes),
        # Two servers on one port would share the requests at random.
        ("grpc.so_reuseport", 0),
    ]
    for argument in filter(None, server_flags.grpc_channel_arguments.split(",")):
        key, _, value = argument.partition("=")
        options.append((key, int(value) if value.lstrip("-").isdigit() else value))
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `homefeed-model-server`; returns the exit status."""
    try:
        server_flags, unknown = flags.parse(sys.argv[1:] if arguments is None else arguments)
    except flags.UsageError as error:
        print(error)
        return flags.USAGE_EXIT_STATUS
    if server_flags.version:
        print(f"TensorFlow ModelServer: homefeed\nTensorFlow Library: {tensorflow_version()}")
        return 0
    if unknown:
        print(f"Unknown arguments: {' '.join(unknown)}\n{flags.usage('homefeed-model-server')}", flush=True)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s] %(message)s")
    try:
        return _run(ModelServer(server_flags))
    except StatusError as error:
        print(f"Failed to start server. Error: {error}", flush=True)
        return flags.USAGE_EXIT_STATUS


def _run(server: ModelServer) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stopping.set())
    try:
        server.start()
        server.stopping.wait()
    finally:
        server.stop()
    return 0
