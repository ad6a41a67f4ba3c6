"""What stands before the gateway's routes: the size of a body, a key, and room for a page."""

from __future__ import annotations

import base64
import contextlib
import math
from typing import Any

import fastapi
import orjson
from fastapi import Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from homefeed.serving.gateway.auth import Keys
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.limits import TooMuch

RETRY_SECONDS = 1


class Answers(fastapi.responses.JSONResponse):
    """JSON as orjson writes it."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return orjson.dumps(content)


class BodyLimit:
    """Refuses bodies beyond a limit, announced or not."""

    def __init__(self, app: ASGIApp, max_bytes: int):
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more and len(body) <= self._max_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if len(body) > self._max_bytes:
            refused = refusal(413, "body", f"has more than {self._max_bytes} bytes; send fewer events at once")
            await refused(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)


class Admission:
    """Sends away who may not ask for a page, or finds no room for one, before anything else is spent on them.

    `/v1/page` needs a key where there are keys; `/`, which people open, does not, and finds room of its own.
    """

    PATHS = frozenset({"/", "/v1/page"})

    def __init__(self, app: ASGIApp, home: Home, keys: Keys):
        self._app, self._home, self._keys = app, home, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        is_page = scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in self.PATHS
        await ((is_page and self._refusal(scope)) or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        is_open = scope["path"] == "/"
        try:
            if not is_open:
                self._keys.require_rate(require_key(self._keys, "page", Headers(scope=scope)))
            self._home.require_room(is_keyless=is_open and bool(self._keys.scopes))
        except HTTPException as error:
            return refusal(error.status_code, "request", str(error.detail))
        except TooMuch as error:
            return refusal(429, "page", str(error), error.seconds)
        return None


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def refusal(status: int, field: str, reason: str, seconds: float = RETRY_SECONDS) -> Response:
    """An answer that says which field is wrong and why, and when to come back."""
    headers = {"Retry-After": str(math.ceil(seconds))} if status in (429, 503) else {}
    return Answers({"field": field, "reason": reason}, status, headers)


def require_key(keys: Keys, scope: str, headers: Headers) -> str:
    """The caller's key, in `Authorization` or `X-Api-Key`.

    Raises:
        HTTPException: it is not good for the scope.
    """
    key = headers.get("x-api-key") or _key(headers.get("authorization", ""))
    allowed = keys.allow(key, scope)
    if allowed is None:
        raise HTTPException(401, "an API key is needed: Authorization: Bearer KEY")
    if not allowed:
        raise HTTPException(403, f"this key has not the scope {scope!r}")
    return key


def _key(authorization: str) -> str:
    """The key of a header: `Bearer KEY`, or the user of `Basic`, where Segment's libraries write it."""
    kind, _, said = authorization.partition(" ")
    if kind != "Basic":
        return authorization.removeprefix("Bearer ")
    with contextlib.suppress(ValueError):
        return base64.b64decode(said, validate=True).decode().partition(":")[0]
    return ""
