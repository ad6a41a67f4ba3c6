"""The gateway's gRPC: `homefeed.v1.HomePage`, in the event loop of its HTTP, with the same answers."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, NoReturn

import grpc
import grpc.aio
import pydantic
from google.protobuf import json_format
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from homefeed_client import protos

from homefeed.schemas.errors import HomefeedError
from homefeed.serving.gateway.auth import Keys
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.limits import TooMuch
from homefeed.serving.gateway.schema import MAX_EVENTS, Ask, AskWhy, EventAnswer, rejected
from homefeed.serving.policy.errors import NotFound
from homefeed.serving.profiles import StoreBusy, StoreError
from homefeed.serving.reflection import add_reflection

SERVICE = "homefeed.v1.HomePage"
MAX_REQUEST_BYTES = 1 << 20
GRACE_SECONDS = 5.0
NAMED = ("item_id", "title", "score", "probability", "found_by")  # Fields of a card by themselves.
_logger = logging.getLogger(__name__)


class GrpcError(HomefeedError, RuntimeError):
    """gRPC cannot be served."""

    exit_code = 2


class GrpcServer:
    """Serves a home page; belongs to the event loop that starts it.

    Args:
        home: what it serves.
        keys: who may ask.
        address: `host:port` to listen on.

    Raises:
        GrpcError: the address cannot be had.
    """

    def __init__(self, home: Home, keys: Keys, address: str):
        self._home, self._keys = home, keys
        self._server = grpc.aio.server(
            options=[("grpc.max_receive_message_length", MAX_REQUEST_BYTES), ("grpc.so_reuseport", 0)]
        )
        request = protos.message
        handlers = {
            "Page": grpc.unary_unary_rpc_method_handler(
                self._page, request("homefeed.v1.PageRequest").FromString, _serialized
            ),
            "Why": grpc.unary_unary_rpc_method_handler(
                self._why, request("homefeed.v1.WhyRequest").FromString, _serialized
            ),
            "SendEvents": grpc.stream_stream_rpc_method_handler(
                self._send_events, request("homefeed.v1.SendEventsRequest").FromString, _serialized
            ),
        }
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        add_reflection(self._server, [SERVICE])
        try:
            self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise GrpcError(f"gRPC cannot listen on {address}: name another --grpc-port, or 0") from error

    async def start(self) -> None:
        """Begins to answer."""
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()

    async def stop(self) -> None:
        """Takes no new call and finishes those that were begun."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(GRACE_SECONDS)

    async def _page(self, request: Any, context: Any) -> Any:
        key = await self._admit(context, "page")
        said = {field.name: value for field, value in request.ListFields()}
        try:
            self._keys.require_rate(key)
            self._home.require_room()
            return _page_message(await self._home.page(Ask.model_validate(said)))
        except Exception as error:
            await _abort(context, error)

    async def _why(self, request: Any, context: Any) -> Any:
        key = await self._admit(context, "page")
        said = {field.name: value for field, value in request.ListFields()}
        impression_id, item_id = said.pop("impression_id", ""), said.pop("item_id", "")
        try:
            self._keys.require_rate(key)
            who = AskWhy.model_validate(said).who()
            answer = await self._home.why(impression_id, item_id, who)
            return json_format.ParseDict(answer, protos.message("homefeed.v1.WhyResponse")())
        except Exception as error:
            await _abort(context, error)

    async def _send_events(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        key = await self._admit(context, "events")
        response = protos.message("homefeed.v1.SendEventsResponse")
        async for request in requests:
            if not 1 <= len(request.events) <= MAX_EVENTS:
                reason = f"events: a request has 1 to {MAX_EVENTS}, this one {len(request.events)}"
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, reason)
            try:
                self._keys.require_rate(key)
                answers = await self._home.take([_event(event) for event in request.events])
            except Exception as error:
                await _abort(context, error)
            yield response(events=_told(answers))

    async def _admit(self, context: Any, scope: str) -> str:
        """The key of a call that may be made."""
        said = dict(context.invocation_metadata() or ())
        key = str(said.get("x-api-key") or said.get("authorization", "")).removeprefix("Bearer ")
        allowed = self._keys.allow(key, scope)
        if allowed is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "an API key is needed: authorization: Bearer KEY")
        if not allowed:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, f"this key has not the scope {scope!r}")
        return key


async def _abort(context: Any, error: Exception) -> NoReturn:
    """Ends a call as HTTP would answer it."""
    code, reason = grpc.StatusCode.INTERNAL, f"the gateway broke down with {type(error).__name__}"
    if isinstance(error, pydantic.ValidationError):
        fault = rejected(error)
        code, reason = grpc.StatusCode.INVALID_ARGUMENT, f"{fault.field}: {fault.reason}"
    elif isinstance(error, NotFound):
        code, reason = grpc.StatusCode.NOT_FOUND, str(error.args[0])
    elif isinstance(error, TooMuch | StoreBusy):
        code, reason = grpc.StatusCode.RESOURCE_EXHAUSTED, str(error)
    elif isinstance(error, StoreError):
        code, reason = grpc.StatusCode.UNAVAILABLE, str(error)
    else:
        _logger.error("A call broke down.", exc_info=error)
    await context.abort(code, reason)
    raise AssertionError("a call went on after its end")


def _serialized(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _page_message(page: dict[str, Any]) -> Any:
    rows = page.pop("rows")
    message = protos.message("homefeed.v1.PageResponse")(
        **{name: value for name, value in page.items() if value is not None}
    )
    for row in rows:
        said = message.rows.add(id=row["id"])
        said.reason.update(row["reason"])
        for card in row["cards"]:
            columns = dict(card)
            named = {name: columns.pop(name) for name in NAMED if name in card}
            said.cards.add(**named).columns.update(columns)
    return message


def _event(event: Any) -> dict[str, Any]:
    """As it would be in JSON: what is not set is not there."""
    said = {field.name: value for field, value in event.ListFields()}
    if "settings" in said:
        said["settings"] = {field.name: value for field, value in event.settings.ListFields()}
    if "features" in said:
        said["features"] = dict(event.features.items())
    return said


def _told(answers: Sequence[EventAnswer]) -> list[Any]:
    answer = protos.message("homefeed.v1.EventAnswer")
    return [answer(**one.told()) for one in answers]
