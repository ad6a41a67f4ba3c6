"""The gateway as a process."""

from __future__ import annotations

import uvicorn

from homefeed.serving.gateway.app import LOOPBACK_HOSTS, make_app
from homefeed.serving.gateway.auth import Keys, require_safe
from homefeed.serving.gateway.home import Config, Home
from homefeed.serving.gateway.metrics import Metrics

GRACE_SECONDS = 10


def serve(config: Config, host: str, port: int, keys: Keys, hosts: tuple[str, ...] = ()) -> None:
    """Serves until SIGTERM or SIGINT; requests under way are finished, and what waits is written.

    Args:
        config: how pages are made.
        host: address to listen on.
        port: 0 for a free one.
        keys: who may ask.
        hosts: names by which it may be called besides those of this machine and `host`.

    Raises:
        AccessError: the address can be reached from outside, and there is no key.
        DatasetError: the published profiles cannot be read.
    """
    require_safe(host, keys)
    metrics = Metrics()
    app = make_app(Home(config, metrics), metrics, keys, (*LOOPBACK_HOSTS, host, *hosts))
    uvicorn.run(
        app,
        host=host,
        port=port,
        access_log=False,  # Its lines hold ids.
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
