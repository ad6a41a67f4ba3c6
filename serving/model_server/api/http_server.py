"""The HTTP server that the REST API runs in."""

import logging
import socket
import threading
import time
from typing import Any

import waitress.server
import waitress.wasyncore

from homefeed.serving.model_server.errors import Code, StatusError

_MAX_CONNECTIONS = 1000
_IDLE_SECONDS = 60
_SHUTDOWN_GRACE_SECONDS = 30.0


class HttpServer:
    """Serves a WSGI application from threads of its own.

    One thread reads and writes all sockets, so that slow clients hold no worker: workers get whole requests only.

    Args:
        application: the WSGI application.
        host, port: where to listen; `0.0.0.0` listens on IPv6 as well.
        num_threads: how many requests are worked on at a time.
        max_body_bytes: larger bodies are refused.

    Raises:
        StatusError: the address cannot be had.
    """

    def __init__(self, application: Any, host: str, port: int, num_threads: int, max_body_bytes: int):
        # More requests than workers wait in line; waitress would say so each time.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._sockets: dict[int, Any] = {}
        self._server: Any = waitress.server.create_server(
            application,
            map=self._sockets,
            sockets=[_listen(host, port)],
            threads=num_threads,
            max_request_body_size=max_body_bytes,
            connection_limit=_MAX_CONNECTIONS,
            channel_timeout=_IDLE_SECONDS,
            ident=None,
        )
        self._thread = threading.Thread(target=self._server.run, name="rest-server", daemon=True)

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Takes no new request and finishes those that were begun, answers included."""
        deadline = time.monotonic() + _SHUTDOWN_GRACE_SECONDS
        self._server.task_dispatcher.shutdown(cancel_pending=False, timeout=_SHUTDOWN_GRACE_SECONDS)
        while time.monotonic() < deadline and any(
            channel.total_outbufs_len for channel in list(self._server.active_channels.values())
        ):
            time.sleep(0.01)
        # Only the thread that waits on the sockets may close them.
        self._server.trigger.pull_trigger(lambda: waitress.wasyncore.close_all(self._sockets))
        self._thread.join()


def _listen(host: str, port: int) -> socket.socket:
    dual_stack = host == "0.0.0.0" and socket.has_dualstack_ipv6()
    try:
        if dual_stack:
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise StatusError(Code.UNKNOWN, f"Error binding to the REST address {host}:{port}: {error}") from error
