"""The gRPC server: receives messages, hands them to the methods, and turns a failure into a status."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from homefeed_client import protos

from homefeed.serving.model_server.api import tls
from homefeed.serving.model_server.api.grpc_api import Call, Method
from homefeed.serving.model_server.api.grpc_calls import CallWatch
from homefeed.serving.model_server.errors import Code, StatusError
from homefeed.serving.model_server.flags import Flags
from homefeed.serving.model_server.intake import MAX_RECEIVING, Intake, max_connections
from homefeed.serving.reflection import add_reflection

_MIN_WORKING = 64
# Who connects and says nothing; who said nothing for long; who does not answer to a ping.
_HANDSHAKE_MS, _IDLE_MS, _PING_MS = 10_000, 10 * 60_000, 60_000
_MAX_CONNECTIONS = 10_000
# How long a server that stops still refuses in words. Not longer: clients that take servers in turn come back until
# gRPC stops, and each refusal counts against what they may try again.
_REFUSAL_SECONDS = 0.03
_MAX_ANSWER_BYTES = 2**31 - 1
_MAX_ERROR_CHARACTERS = 1024
# No deadline comes as a time ages away.
_NO_DEADLINE_SECONDS = 10 * 365 * 24 * 3600.0
_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}
_HEALTH_NAMES = ("", "ModelService", "PredictionService")  # The short names are the reference's.
_logger = logging.getLogger(__name__)


def to_grpc_status(error: StatusError) -> tuple[grpc.StatusCode, str]:
    """The gRPC code and the words, cut to what a trailer can carry."""
    message = error.message
    if len(message) > _MAX_ERROR_CHARACTERS:
        message = message[:_MAX_ERROR_CHARACTERS] + "...TRUNCATED"
    return _STATUS_CODES[int(error.code)], message


class GrpcServer:
    """Serves methods from threads of its own.

    gRPC gives each call a thread while its message comes in. Those threads are many and cheap, and only a few of
    them work at a time.

    Args:
        services: method by name, by the full name of a service of our descriptor pool.
        flags: the command line.
        intake: bounds what comes in.

    Attributes:
        port: the TCP port that it listens on.

    Raises:
        StatusError: an address cannot be had, or the TLS configuration is wrong.
    """

    def __init__(self, services: dict[str, dict[str, Method]], flags: Flags, intake: Intake):
        self._intake = intake
        self._calls = CallWatch()
        self._stopping = threading.Event()
        # Threads wait while TensorFlow computes, and a batch can only hold requests that have one.
        num_working = max(flags.grpc_max_threads, _MIN_WORKING)
        self._slots = threading.BoundedSemaphore(num_working)
        threads = concurrent.futures.ThreadPoolExecutor(MAX_RECEIVING + num_working, "grpc")
        self._server = grpc.server(threads, options=_options(flags))
        self._health: Any = None
        handlers = [self._handlers(name, methods) for name, methods in services.items()]
        self._server.add_generic_rpc_handlers(handlers)
        if flags.enable_grpc_healthcheck_service:
            self._add_health()
        if flags.enable_grpc_reflection:
            add_reflection(self._server, list(services))
        try:
            self.port = self._bind(flags)
        except RuntimeError as error:
            raise StatusError(Code.UNKNOWN, f"Error binding to the gRPC address: {error}") from error

    def _bind(self, flags: Flags) -> int:
        port, address = 0, f"{flags.host}:{flags.port}"
        if flags.port and flags.ssl_config_file:
            port = self._server.add_secure_port(address, tls.grpc_credentials(flags.ssl_config_file))
        elif flags.port:
            port = self._server.add_insecure_port(address)
        if flags.grpc_socket_path:
            self._server.add_insecure_port(f"unix:{flags.grpc_socket_path}")
        return port

    def start(self) -> None:
        """Begins to answer."""
        self._server.start()

    def drain(self) -> None:
        """Says to those who ask after its health that it will stop; it still answers."""
        if self._health:
            self._health.enter_graceful_shutdown()

    def stop(self, grace_seconds: float) -> None:
        """Takes no new call and finishes those that were begun."""
        # gRPC's own stop finishes what was begun, and answers CANCELLED to what it had only read, which most clients
        # do not take for "try again".
        self._stopping.set()
        time.sleep(_REFUSAL_SECONDS)
        self._server.stop(grace_seconds).wait()
        self._calls.stop()

    def _handlers(self, service_name: str, methods: dict[str, Method]) -> grpc.GenericRpcHandler:
        """Binds methods to a service of our descriptor pool."""
        service = protos.POOL.FindServiceByName(service_name)
        handlers = {}
        for name, method in methods.items():
            request_class = protos.message(service.methods_by_name[name].input_type.full_name)
            handlers[name] = grpc.stream_unary_rpc_method_handler(self._handler(request_class, method))
        return grpc.method_handlers_generic_handler(service_name, handlers)

    def _handler(self, request_class: Any, method: Method) -> Callable[..., bytes]:
        def handle(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            try:
                with self._calls.receiving(context):
                    data = next(messages, None)
                call = Call(_deadline(context), context.is_active)
                if data is None:
                    raise StatusError(Code.INTERNAL, "Unable to parse request")
                if self._stopping.is_set():
                    raise StatusError(Code.UNAVAILABLE, "The server is shutting down; ask another one.")
                with self._intake.working(len(data)), self._slots:
                    return _work(request_class, method, data, call)
            except StatusError as error:
                context.abort(*to_grpc_status(error))
                raise AssertionError("An RPC went on after its end.") from error
            finally:
                self._calls.answered(context)

        return handle

    def _add_health(self) -> None:
        from grpc_health.v1 import health, health_pb2, health_pb2_grpc

        self._health = health.HealthServicer()
        for name in _HEALTH_NAMES:
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)


def _work(request_class: Any, method: Method, data: bytes, call: Call) -> bytes:
    """Answers a message."""
    try:
        request = request_class.FromString(data)
    except DecodeError:
        raise StatusError(Code.INTERNAL, "Unable to parse request") from None
    try:
        return bytes(method(request, call).SerializeToString())
    except StatusError:
        raise
    except Exception as error:
        _logger.exception("A request broke down.")
        raise StatusError(Code.INTERNAL, f"The server broke down with {type(error).__name__}.") from error


def _deadline(context: grpc.ServicerContext) -> float | None:
    seconds = context.time_remaining()
    return None if seconds is None or seconds > _NO_DEADLINE_SECONDS else time.monotonic() + seconds


def _options(flags: Flags) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", flags.max_message_bytes),
        ("grpc.max_send_message_length", _MAX_ANSWER_BYTES),
        # Two servers on one port would share the requests at random.
        ("grpc.so_reuseport", 0),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.max_connection_idle_ms", _IDLE_MS),
        ("grpc.keepalive_time_ms", _PING_MS),
        ("grpc.max_allowed_incoming_connections", max_connections(_MAX_CONNECTIONS)),
    ]
    for argument in filter(None, flags.grpc_channel_arguments.split(",")):
        key, _, value = argument.partition("=")
        options.append((key, int(value) if value.lstrip("-").isdigit() else value))
    return options
