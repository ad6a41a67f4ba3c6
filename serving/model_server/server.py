"""Puts the parts together: start, ports, shutdown."""

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from homefeed.serving.model_server import config, flags
from homefeed.serving.model_server.core import ServerCore
from homefeed.serving.model_server.errors import StatusError, invalid_argument
from homefeed.serving.model_server.execution.c_api import tensorflow_version
from homefeed.serving.model_server.intake import raise_file_limit
from homefeed.serving.model_server.loading.saved_model import ModelLoader
from homefeed.serving.model_server.metrics import Metrics
from homefeed.serving.model_server.network import Network
from homefeed.serving.process import LOG_FORMAT

# For the requests in flight, and as long again for the models; orchestrators kill after 30 seconds.
_GRACE_SECONDS = 12.0
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
        metrics = Metrics()
        self._core = ServerCore(server_flags, ModelLoader(server_flags, metrics), self.stopping)
        self._network = Network(server_flags, self._core, metrics, _GRACE_SECONDS)
        self.grpc_port = 0

    def start(self) -> None:
        """Loads the models, then opens the ports.

        Raises:
            StatusError: wrong configuration, a model that cannot be loaded, a port that is taken.
        """
        self._core.start(config.from_flags(self._flags))
        if not self.stopping.is_set():
            self.grpc_port = self._network.start()

    def stop(self) -> bool:
        """Takes no new request, finishes those in flight, and frees everything.

        Returns:
            Whether all came to its end; a load or a request that hangs is not waited for without a limit.
        """
        self.stopping.set()
        self._network.stop()
        return self._core.stop(_GRACE_SECONDS)


def _check(server_flags: flags.Flags) -> None:
    if not server_flags.port and not server_flags.grpc_socket_path:
        raise invalid_argument(
            "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set."
        )
    if server_flags.batching_parameters_file and not server_flags.enable_batching:
        raise invalid_argument(
            "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."
        )


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
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    threading.excepthook = _end_with_a_thread
    raise_file_limit()
    try:
        return _run(ModelServer(server_flags))
    except StatusError as error:
        print(f"Failed to start server. Error: {error}", flush=True)
        return flags.USAGE_EXIT_STATUS


def _run(server: ModelServer) -> int:
    with _hearing_signals(server.stopping):
        try:
            server.start()
            server.stopping.wait()
        finally:
            if not server.stop():
                # Python would wait for the threads that hang.
                _logger.error("A load or a request did not come to its end; the process ends without it.")
                os._exit(0)
    return 0


@contextlib.contextmanager
def _hearing_signals(stopping: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set the event, from a thread.

    A handler that set it would wait for ever for the event's lock where a second signal, or one in the middle of a
    wait, comes while it is held.
    """
    told, tells = socket.socketpair()

    def hear() -> None:
        told.recv(1)
        stopping.set()

    hears = threading.Thread(target=hear, name="signals", daemon=True)
    with told, tells:
        tells.setblocking(False)
        signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        hears.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            tells.close()  # Nobody will tell: that ends the thread.
            hears.join()


def _end_with_a_thread(failure: Any) -> None:
    """A thread that broke down is missing from then on: whoever watches over the process starts it anew."""
    _logger.critical("A thread broke down.", exc_info=(failure.exc_type, failure.exc_value, failure.exc_traceback))
    os._exit(1)
