"""The client of the home page over gRPC: the calls and answers of `HomePageClient`, over one channel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grpc
import grpc.aio
from google.protobuf import json_format

from homefeed_client import protos
from homefeed_client.channel import channel_options
from homefeed_client.home_page import HomePageError, batches, tries

_AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
_UNSAID = {"age_ms": 0, "profile_version": 0, "model_version": None, "rules_version": "", "objective": ""}
_NAMED = ("item_id", "title", "score", "probability", "found_by")


class HomePageGrpcClient:
    """Asks a gateway over gRPC; safe to share between threads.

    Args:
        target: `host:port` of its `--grpc-port`.
        api_key: where the gateway asks for one.
        timeout_seconds: of each call, all tries together.
        credentials: `grpc.ssl_channel_credentials(...)` for TLS, such as a proxy's; None is plain text.

    Example:
        >>> with HomePageGrpcClient("127.0.0.1:8081") as home:  # doctest: +SKIP
        ...     home.send([{"user_id": "u1", "type": "like", "item_id": "i7"}])
        ...     page = home.page(user_id="u1")
    """

    def __init__(
        self,
        target: str,
        *,
        api_key: str = "",
        timeout_seconds: float = 5.0,
        credentials: grpc.ChannelCredentials | None = None,
    ):
        self._timeout_seconds, self._metadata = timeout_seconds, _metadata(api_key)
        self._channel = _channel(grpc, target, credentials)
        self._page, self._send = _methods(self._channel)

    def page(self, **ask: Any) -> dict[str, Any]:
        """See `HomePageClient.page`; numbers in columns of cards are floats.

        Raises:
            HomePageError: the gateway refused, or did not answer in time.
        """
        return _told_page(self._call(self._page, _message("PageRequest", ask)))

    def send(self, events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """See `HomePageClient.send`.

        Raises:
            HomePageError: the gateway refused, or did not answer in time; the events may be sent again, with the
                ids that they were given if they have some.
        """
        requests = [_message("SendEventsRequest", {"events": some}) for some in batches(events)]
        answers = (self._call(lambda one, **how: next(self._send(iter([one]), **how)), one) for one in requests)
        return [told for answer in answers for told in _told_events(answer)]

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def __enter__(self) -> HomePageGrpcClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, method: Any, request: Any) -> Any:
        for pause, seconds_left in tries(self._timeout_seconds):
            time.sleep(pause)
            try:
                return method(request, timeout=seconds_left, metadata=self._metadata)
            except grpc.RpcError as error:
                failure = _failure(error)
        raise failure


class AsyncHomePageGrpcClient:
    """As `HomePageGrpcClient`, for use inside the event loop that it is made in."""

    def __init__(
        self,
        target: str,
        *,
        api_key: str = "",
        timeout_seconds: float = 5.0,
        credentials: grpc.ChannelCredentials | None = None,
    ):
        self._timeout_seconds, self._metadata = timeout_seconds, _metadata(api_key)
        self._channel = _channel(grpc.aio, target, credentials)
        self._page, self._send = _methods(self._channel)

    async def page(self, **ask: Any) -> dict[str, Any]:
        """See `HomePageGrpcClient.page`."""
        return _told_page(await self._call(self._page, _message("PageRequest", ask)))

    async def send(self, events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """See `HomePageGrpcClient.send`."""

        async def first(request: Any, **how: Any) -> Any:
            return await anext(aiter(self._send(iter([request]), **how)))

        requests = [_message("SendEventsRequest", {"events": some}) for some in batches(events)]
        answers = [await self._call(first, request) for request in requests]
        return [told for answer in answers for told in _told_events(answer)]

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncHomePageGrpcClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _call(self, method: Any, request: Any) -> Any:
        for pause, seconds_left in tries(self._timeout_seconds):
            await asyncio.sleep(pause)
            try:
                return await method(request, timeout=seconds_left, metadata=self._metadata)
            except grpc.RpcError as error:
                failure = _failure(error)
        raise failure


def _channel(library: Any, target: str, credentials: grpc.ChannelCredentials | None) -> Any:
    """A channel of `grpc` or of `grpc.aio`."""
    options = channel_options(target)
    if credentials:
        return library.secure_channel(target, credentials, options)
    return library.insecure_channel(target, options)


def _metadata(api_key: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {api_key}")] if api_key else []


def _methods(channel: Any) -> Iterator[Any]:
    """Page and SendEvents."""
    for name, kind, answer in (
        ("Page", channel.unary_unary, "PageResponse"),
        ("SendEvents", channel.stream_stream, "SendEventsResponse"),
    ):
        read = protos.message(f"homefeed.v1.{answer}").FromString
        yield kind(f"/homefeed.v1.HomePage/{name}", lambda message: message.SerializeToString(), read)


def _message(name: str, said: Mapping[str, Any]) -> Any:
    try:
        return json_format.ParseDict(dict(said), protos.message(f"homefeed.v1.{name}")())
    except json_format.ParseError as error:
        raise HomePageError(f"this is not sent: {error}") from error


def _failure(error: Any) -> HomePageError:
    """What a call failed with; raised at once where another try would be answered alike."""
    failure = HomePageError(f"{error.code().name}: {error.details()}")
    if error.code() not in _AGAIN:
        raise failure from error
    return failure


def _told_page(page: Any) -> dict[str, Any]:
    """As HTTP has it."""
    fields = {field.name: value for field, value in page.ListFields() if field.name != "rows"}
    rows = [
        {
            "id": row.id,
            "reason": json_format.MessageToDict(row.reason),
            "cards": [
                {name: getattr(card, name) for name in _NAMED if name in _set(card)}
                | json_format.MessageToDict(card.columns)
                for card in row.cards
            ],
        }
        for row in page.rows
    ]
    several = {"set_aside": list(page.set_aside), "unmet": list(page.unmet), "arms": dict(page.arms)}
    return {**_UNSAID, **fields, "rows": rows, **several}


def _told_events(answer: Any) -> list[dict[str, Any]]:
    return [{field.name: value for field, value in event.ListFields()} for event in answer.events]


def _set(message: Any) -> set[str]:
    return {field.name for field, _ in message.ListFields()}
