"""How a channel to model servers behaves: targets, retries, message sizes."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

from homefeed_client.messages import MODEL_SERVICE, PREDICTION_SERVICE

MAX_MESSAGE_BYTES = 2**31 - 1

# gRPC itself tries again, within the call's deadline and with jitter, and only where the server did no work.
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": PREDICTION_SERVICE}, {"service": MODEL_SERVICE}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "3s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        }
    ],
}
CHANNEL_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    # A server that restarts is found again within a second; gRPC's own pause grows to two minutes.
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


def channel_options(own: Sequence[tuple[str, Any]] = ()) -> list[tuple[str, Any]]:
    """The options of a channel: ours, and the caller's, which win."""
    return list({**dict(CHANNEL_OPTIONS), **dict(own)}.items())


def join_targets(target: str | Sequence[str]) -> str:
    """One gRPC target for one or several servers.

    Raises:
        ValueError: there is none, or one of several is not `host:port`.
        OSError: a host name is not known.
    """
    if isinstance(target, str):
        return target
    addresses = []
    for server in target:
        host, colon, port = server.rpartition(":")
        if not colon or not port.isdigit():
            raise ValueError(f"Each of several targets must be `host:port`, but got `{server}`.")
        addresses += [f"{found[4][0]}:{port}" for found in socket.getaddrinfo(host, int(port), socket.AF_INET)[:1]]
    if not addresses:
        raise ValueError("At least one target is needed, `host:port`.")
    return "ipv4:" + ",".join(addresses)
