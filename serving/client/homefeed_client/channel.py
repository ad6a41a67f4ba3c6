"""How a channel to model servers behaves: targets, retries, message sizes."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Sequence
from typing import Any

from homefeed_client.messages import MODEL_SERVICE, PREDICTION_SERVICE

MAX_MESSAGE_BYTES = 2**31 - 1

# gRPC itself tries again, within the call's deadline and with jitter, and only where nothing is done twice: a
# server that stops answers CANCELLED to what it has not begun, and a prediction changes nothing. When many calls
# fail, it stops trying again, so that a server with too much work does not get five times as much; but one that
# stops may fail 500 calls at once, half of the most tokens that gRPC allows.
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
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
            },
        }
    ],
    "retryThrottling": {"maxTokens": 1000, "tokenRatio": 0.2},
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
_HOST = re.compile(r"(?:(?:dns|ipv4|ipv6):(?://[^/]*/)?)?\[?(.*?)]?(?::\w+)?")


def channel_options(target: str, own: Sequence[tuple[str, Any]] = ()) -> list[tuple[str, Any]]:
    """The options of a channel: ours, and the caller's, which win."""
    proxy = int(not is_direct(target))
    return list({**dict(CHANNEL_OPTIONS), "grpc.enable_http_proxy": proxy, **dict(own)}.items())


def is_direct(target: str) -> bool:
    """Whether a target is reached without the proxy of the environment: this machine; several servers, whose list
    gRPC would give to a proxy as one name."""
    host = _HOST.fullmatch(target)
    assert host, target  # Every text fits.
    return "," in target or target.startswith(("unix:", "unix-abstract:", "vsock:")) or _is_this_machine(host[1])


def _is_this_machine(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def join_targets(target: str | Sequence[str]) -> str:
    """One gRPC target for one or several servers.

    Raises:
        ValueError: there is none, or one of several is not `host:port`.
        OSError: a host name is not known.
    """
    if isinstance(target, str):
        return target
    addresses = [f"{_ipv4_address(server)}:{server.rpartition(':')[2]}" for server in target]
    if not addresses:
        raise ValueError("At least one target is needed, `host:port`.")
    return "ipv4:" + ",".join(addresses)


def _ipv4_address(server: str) -> str:
    host, colon, port = server.rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError(f"Each of several targets must be `host:port`, but got `{server}`.")
    try:
        return str(socket.getaddrinfo(host, int(port), socket.AF_INET)[0][4][0])
    except OSError as error:
        raise OSError(error.errno, f"No IPv4 address is known of the host of `{server}`: {error.strerror}") from error
