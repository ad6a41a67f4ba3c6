"""The gateway as a process."""

from __future__ import annotations

import contextlib
import functools
import gc
import socket
from collections.abc import Callable

import uvicorn

from homefeed.serving.gateway.app import LOOPBACK_HOSTS, make_app
from homefeed.serving.gateway.auth import Keys, require_origins, require_safe
from homefeed.serving.gateway.config import Config
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.service import GrpcServer

GRACE_SECONDS = 10
KEEP_ALIVE_SECONDS = 75  # Longer than clients keep a connection that rests: who closes it second gets an error.

GC_THRESHOLDS = 20_000, 20, 100  # Cards and profiles are many small objects; Python's own took a quarter of an event.


class _Server(uvicorn.Server):
    """HTTP, and in the same event loop what it serves."""

    def __init__(
        self, config: uvicorn.Config, home: Home, grpc: Callable[[], GrpcServer] | None, listening: Callable[[], None]
    ):
        super().__init__(config)
        self._home, self._grpc, self._listening = home, grpc, listening
        self._rpc: GrpcServer | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self._home.start()
        if self._grpc:
            self._rpc = self._grpc()
            await self._rpc.start()
        await super().startup(sockets)
        if self.started:
            self._listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self._rpc:
            await self._rpc.stop()
        await self._home.stop()


def serve(
    config: Config,
    host: str,
    port: int,
    keys: Keys,
    hosts: tuple[str, ...] = (),
    *,
    origins: tuple[str, ...] = (),
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
        origins: of sites whose pages may call it from a browser.
        grpc_port: of gRPC; 0: none.
        listening: is called once it can be asked.

    Raises:
        AccessError: the address can be reached from outside, and there is no key; an origin is none.
        DatasetError: the published profiles cannot be read.
        StoreError: the store is out of reach.
        GrpcError: gRPC cannot listen there.
    """
    require_safe(host, keys)
    require_origins(origins)
    metrics = Metrics()
    home = Home(config, metrics)
    app = make_app(home, metrics, keys, (*LOOPBACK_HOSTS, host, *hosts), origins)
    address = f"[{host}]:{grpc_port}" if ":" in host else f"{host}:{grpc_port}"
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
    grpc = functools.partial(GrpcServer, home, keys, address) if grpc_port else None
    server = _Server(settings, home, grpc, listening)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:  # Why not, it has said.
        raise SystemExit(1)
