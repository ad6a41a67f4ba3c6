"""The gateway as a process."""

from __future__ import annotations

import contextlib
import gc
import socket
from collections.abc import Callable

import uvicorn

from homefeed.serving.gateway.app import LOOPBACK_HOSTS, make_app
from homefeed.serving.gateway.auth import Keys, require_safe
from homefeed.serving.gateway.home import Config, Home
from homefeed.serving.gateway.metrics import Metrics

GRACE_SECONDS = 10
KEEP_ALIVE_SECONDS = 75  # Longer than clients keep a connection that rests: who closes it second gets an error.

GC_THRESHOLDS = 20_000, 20, 100  # Cards and profiles are many small objects; Python's own took a quarter of an event.


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]):
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._listening()


def serve(
    config: Config,
    host: str,
    port: int,
    keys: Keys,
    hosts: tuple[str, ...] = (),
    *,
    grpc_port: int = 0,
    listening: Callable[[], None],
) -> None:
    """Serves until SIGTERM or SIGINT; requests under way are finished, and what waits is written.

    Args:
        config: how pages are made.
        host: address to listen on.
        port: 0 for a free one.
        keys: who may ask.
        hosts: names by which it may be called besides those of this machine and `host`.
        grpc_port: of gRPC; 0: none.
        listening: is called once it can be asked.

    Raises:
        AccessError: the address can be reached from outside, and there is no key.
        DatasetError: the published profiles cannot be read.
    """
    require_safe(host, keys)
    metrics = Metrics()
    grpc_address = f"{f'[{host}]' if ':' in host else host}:{grpc_port}" if grpc_port else ""
    app = make_app(Home(config, metrics), metrics, keys, (*LOOPBACK_HOSTS, host, *hosts), grpc_address)
    gc.freeze()  # The catalogue stays.
    gc.set_threshold(*GC_THRESHOLDS)
    settings = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,  # Its lines hold ids.
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    server = _Server(settings, listening)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:  # Why not, it has said.
        raise SystemExit(1)
