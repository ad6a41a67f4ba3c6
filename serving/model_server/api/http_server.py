"""The HTTP server that the REST API runs in."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from homefeed.serving.model_server.api.asgi import AsgiApplication
from homefeed.serving.model_server.errors import Code, StatusError
from homefeed.serving.model_server.intake import max_connections

MAX_CONNECTIONS = 2000
_IDLE_SECONDS = 60
# How long a connection without a request stays open when the server stops.
_LAST_SECONDS = 0.5
_MAX_HEAD_BYTES = 64 * 1024
_BACKLOG = 1024


class HttpServer:
    """Serves an application in an event loop, which has a thread of its own.

    Args:
        application: answers the requests.
        host, port: where to listen; `0.0.0.0` listens on IPv6 as well.
        tls: for HTTPS.

    Raises:
        StatusError: the address cannot be had.
    """

    def __init__(self, application: AsgiApplication, host: str, port: int, tls: ssl.SSLContext | None):
        config = uvicorn.Config(
            application,
            http=_Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_IDLE_SECONDS,
            h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        )
        config.load()
        # What strangers send is no news for the log.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        config.ssl = tls
        self._application = application
        self._socket = _listen(host, port)
        self._server = uvicorn.Server(config)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def _run(self) -> None:
        asyncio.run(self._server.serve([self._socket]))
        if not self._stopped:
            raise RuntimeError("The thread that serves REST ended.")

    def drain(self) -> None:
        """Tells each client with its next answer to go elsewhere."""
        self._application.draining = True

    def stop(self, grace_seconds: float) -> None:
        """Takes no new connection and finishes the requests in flight."""
        self._server.config.timeout_graceful_shutdown = int(grace_seconds)
        self._stopped = True
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self._application.close()


class _Connection(H11Protocol):
    """A connection that cannot be held open for nothing.

    A head has `_IDLE_SECONDS` from the end of the last answer, however slowly it drips; uvicorn's own limit ends with
    the first byte. Where there are too many connections, the one that waits longest for its head makes room.
    """

    _waiting: dict[_Connection, None]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        # All connections of a server share its state, and so the line of those that wait.
        self._waiting = self.server_state.__dict__.setdefault("waiting", {})
        if len(self.connections) >= max_connections(MAX_CONNECTIONS) and self._waiting:
            next(iter(self._waiting))._give_up()
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        timer, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        super().data_received(data)
        if self._is_answering():
            self._waiting.pop(self, None)
            if timer:
                timer.cancel()
        elif self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = timer

    def on_response_complete(self) -> None:
        """Called after each answer."""
        super().on_response_complete()
        if not self.transport.is_closing() and not self._is_answering():
            self._waiting[self] = None

    def shutdown(self) -> None:
        """Called when the server stops: a request may be on its way, and is still answered."""
        if self._is_answering():
            super().shutdown()
        else:
            self.loop.call_later(_LAST_SECONDS, super().shutdown)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Who has said all may still wait for the answer."""
        if self._is_answering():
            self.cycle.keep_alive = False
        return self._is_answering()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._waiting.pop(self, None)
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def timeout_keep_alive_handler(self) -> None:
        """The time for the next head, or for reading the last answer, is over."""
        self._give_up()

    def _await_head(self) -> None:
        self._waiting[self] = None
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _give_up(self) -> None:
        self._waiting.pop(self, None)
        # What an answer's reader did not take in time is let go of as well.
        self.transport.abort()


def _listen(host: str, port: int) -> socket.socket:
    dual_stack = host == "0.0.0.0" and socket.has_dualstack_ipv6()
    try:
        if dual_stack:
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise StatusError(Code.UNKNOWN, f"Error binding to the REST address {host}:{port}: {error}") from error
