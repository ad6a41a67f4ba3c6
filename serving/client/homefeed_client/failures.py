"""The one place that makes our errors of gRPC's, and says what stands behind them."""

from __future__ import annotations

import os

import grpc

from homefeed_client import errors
from homefeed_client.channel import is_direct

# Asked where a call got no answer: it has no retry policy, so gRPC says at once why there is no connection.
HEALTH_CHECK = "/grpc.health.v1.Health/Check"
HEALTH_CHECK_SECONDS = 0.1

_ERROR_BY_CODE: dict[grpc.StatusCode, type[errors.ServerError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequestError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.InvalidRequestError,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: errors.ModelNotFoundError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceededError,
    grpc.StatusCode.UNAVAILABLE: errors.ServerUnavailableError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ServerUnavailableError,
    grpc.StatusCode.UNIMPLEMENTED: errors.UnsupportedError,
    grpc.StatusCode.PERMISSION_DENIED: errors.AccessDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: errors.AccessDeniedError,
}


# What gRPC's words about a connection mean, the first that they hold.
_MEANINGS = {
    "WRONG_VERSION_NUMBER": "the server speaks plain text, the client TLS: leave out `credentials`",
    "Hostname Verification": "the certificate is for another host name",
    "Tls handshake failed": "the client does not trust the certificate: give its issuer as root certificate",
    "HTTP proxy": "the proxy does not let us through",
    "Failed parsing HTTP/2": "no gRPC port: perhaps that of REST",
    "SETTINGS": "something accepts connections there and says nothing that gRPC knows",
    "handshaker shutdown": "something accepts connections there and says nothing",
    "Socket closed": "the server hung up: it stops, or it speaks TLS and the client lacks (fitting) `credentials`",
    "Domain name not found": "no such host name",
    "Connection refused": "nothing listens there: a model server opens its ports when all its models are loaded",
}


def from_rpc_error(error: grpc.RpcError, target: str) -> errors.ServerError:
    """The error of ours for a failed RPC to `target`."""
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        meanings = [meaning for words, meaning in _MEANINGS.items() if words in details][:1]
        details = "; ".join([details.rstrip("."), *meanings, *_other_address(details, target), *_proxy(target)])
    return _ERROR_BY_CODE.get(code, errors.ServerError)(code, details, target)


def _other_address(details: str, target: str) -> list[str]:
    """gRPC tells the failure of the last address of a host, and the one before may have been the server's."""
    is_one_of_two = "ipv6:" in details and "[" not in target and "ipv6:" not in target
    return ["name the host's IPv4 address (127.0.0.1 for localhost) to be told its failure"] * is_one_of_two


def _proxy(target: str) -> list[str]:
    """A word on the proxy that gRPC's words do not name."""
    found = [name for name in ("grpc_proxy", "https_proxy", "http_proxy") if os.environ.get(name)]
    if not found or is_direct(target):
        return []
    return [f"`{found[0]}={os.environ[found[0]]}` is used unless `no_proxy` names the server"]


def from_deadline(answer: grpc.RpcError | None, timeout_seconds: float, target: str) -> errors.ServerError:
    """The error of ours for an RPC without an answer in time, with the cause.

    Args:
        answer: the failure of a health check on the same channel.
        timeout_seconds: how long the RPC had.
        target: where it went.
    """
    code = answer.code() if answer else grpc.StatusCode.OK
    if answer and code is grpc.StatusCode.UNAVAILABLE:
        return from_rpc_error(answer, target)
    is_silent = code is grpc.StatusCode.DEADLINE_EXCEEDED
    cause = (
        "not even a health check is answered: the server hangs, or nothing that speaks gRPC is at this address"
        if is_silent
        else "the server is there, and needs longer for this"
    )
    details = "; ".join([f"no answer within {timeout_seconds:.3g} seconds", cause, *_proxy(target) * is_silent])
    return errors.DeadlineExceededError(grpc.StatusCode.DEADLINE_EXCEEDED, details, target)
