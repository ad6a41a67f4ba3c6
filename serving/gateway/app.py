"""The gateway's HTTP: routes, limits and answers. OpenAPI is at `/openapi.json`."""

from __future__ import annotations

import base64
import contextlib
import math
from typing import Annotated, Any

import fastapi
import orjson
from fastapi import Body, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from homefeed.serving.gateway.auth import Keys
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.limits import TooMuch
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.schema import (
    MAX_EVENTS,
    Ask,
    Batch,
    EventAnswer,
    Login,
    Rejected,
    SegmentBatch,
    readable,
    who,
)
from homefeed.serving.gateway.segment import SEGMENT
from homefeed.serving.gateway.site import make_site
from homefeed.serving.gateway.ubi import UBI
from homefeed.serving.profiles import StoreBusy, StoreError

UbiBody = Annotated[dict[str, Any] | Annotated[list[Any], Field(min_length=1, max_length=MAX_EVENTS)], Body()]
MAX_BODY_BYTES = 1 << 20
RETRY_SECONDS = 1
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]", "::1")
# Whatever cannot be answered is refused alike: the field, and the reason.
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Rejected, "description": description}
    for status, description in {
        400: "Not a request.",
        401: "A key is needed.",
        403: "The key has not the scope.",
        404: "There is no such thing, or no longer.",
        413: "Too large.",
        422: "A field is wrong.",
        429: "Too much at once: come back after `Retry-After` seconds.",
        503: "Not now: come back after `Retry-After` seconds.",
    }.items()
}


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
            refused = _refusal(413, "body", f"has more than {self._max_bytes} bytes; send fewer events at once")
            await refused(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)


class Admission:
    """Sends away who asks for a page where there is no room for one, before anything else is spent on them."""

    PATHS = frozenset({"/", "/v1/page"})

    def __init__(self, app: ASGIApp, home: Home):
        self._app, self._home = app, home

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        try:
            if scope["type"] == "http" and scope["path"] in self.PATHS:
                self._home.require_room()
        except TooMuch as error:
            await _refusal(429, "page", str(error), error.seconds)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def make_app(
    home: Home,
    metrics: Metrics,
    keys: Keys,
    hosts: tuple[str, ...] = LOOPBACK_HOSTS,
) -> fastapi.FastAPI:
    """The application.

    Args:
        home: what it serves.
        metrics: what `/metrics` shows.
        keys: who may ask.
        hosts: names by which it may be called: another site's page cannot get here by a name of its own.
    """
    app = fastapi.FastAPI(title="homefeed", version="1", docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.add_middleware(Admission, home=home)
    app.add_exception_handler(StoreError, _not_stored)
    app.add_exception_handler(TooMuch, _too_much)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _not_served)
    app.include_router(_routes(home, metrics, keys))
    app.include_router(make_site(home, may_name_users=not keys.scopes))
    return app


async def _not_stored(_: Request, error: Exception) -> Response:
    return _refusal(429 if isinstance(error, StoreBusy) else 503, "store", str(error))


async def _too_much(_: Request, error: Exception) -> Response:
    assert isinstance(error, TooMuch)
    return _refusal(429, "request", str(error), error.seconds)


async def _not_understood(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    return _refusal(422, ".".join(map(readable, fault["loc"])), str(fault["msg"]).removeprefix("Value error, "))


async def _not_served(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = _refusal(error.status_code, "request", str(error.detail))
    if error.status_code == 405:  # By itself only the first route's own methods would be told.
        served = request.app.openapi()["paths"].get(request.url.path, {})
        answer.headers.update({"Allow": ", ".join(map(str.upper, served))} if served else error.headers or {})
    return answer


def _refusal(status: int, field: str, reason: str, seconds: float = RETRY_SECONDS) -> Response:
    headers = {"Retry-After": str(math.ceil(seconds))} if status in (429, 503) else {}
    return Answers({"field": field, "reason": reason}, status, headers)


def _may(keys: Keys, scope: str) -> Any:
    """A dependency of routes: the caller has a key with a scope, in `Authorization` or `X-Api-Key`."""

    async def check(request: Request) -> None:  # Not async, it would be sent to another thread.
        key = request.headers.get("x-api-key") or _key(request.headers.get("authorization", ""))
        allowed = keys.allow(key, scope)
        if allowed is None:
            raise fastapi.HTTPException(401, "an API key is needed: Authorization: Bearer KEY")
        if not allowed:
            raise fastapi.HTTPException(403, f"this key has not the scope {scope!r}")
        keys.require_rate(key)

    return Depends(check)


def _key(authorization: str) -> str:
    """The key of a header: `Bearer KEY`, or the user of `Basic`, where Segment's libraries write it."""
    kind, _, said = authorization.partition(" ")
    if kind != "Basic":
        return authorization.removeprefix("Bearer ")
    with contextlib.suppress(ValueError):
        return base64.b64decode(said, validate=True).decode().partition(":")[0]
    return ""


def _routes(home: Home, metrics: Metrics, keys: Keys) -> fastapi.APIRouter:
    router = fastapi.APIRouter(default_response_class=Answers, responses=REFUSALS)
    page, events, admin = (_may(keys, scope) for scope in ("page", "events", "admin"))

    @router.get("/v1/page", dependencies=[page])
    async def get_page(ask: Annotated[Ask, Query()]) -> Response:
        """A whole page: rows of complete cards. `after` goes on from an earlier page, without a repeat."""
        try:
            return Answers(await home.page(ask))
        except LookupError as error:
            field, _, reason = str(error.args[0]).partition(": ")
            return _refusal(404, field, reason)

    @router.post("/v1/events", dependencies=[events])
    async def post_events(batch: Batch) -> Answers:
        """Stores events, each once by its `event_id`. What is accepted is on disk, and in the next page."""
        return _answered(await home.take(batch.events))

    @router.post("/v1/events:validate", dependencies=[events])
    async def validate(batch: Batch) -> Answers:
        """Says what `/v1/events` would answer, and stores nothing."""
        return _answered(home.explain(batch.events))

    @router.post("/ubi_events", dependencies=[events])
    async def post_ubi(said: UbiBody) -> Answers:
        """Stores events and queries of User Behavior Insights 1.3, one or a list; otherwise as `/v1/events`."""
        return _answered(await home.take(said if isinstance(said, list) else [said], UBI.read))

    @router.post("/ubi_events:validate", dependencies=[events])
    async def validate_ubi(said: UbiBody) -> Answers:
        """Says what `/ubi_events` would answer, and stores nothing."""
        return _answered(home.explain(said if isinstance(said, list) else [said], UBI.read))

    @router.post("/v1/track", dependencies=[events])
    async def post_track(said: dict[str, Any]) -> Answers:
        """Stores what Segment's `track` says; otherwise as `/v1/events`."""
        return _answered(await home.take([said], SEGMENT.read))

    @router.post("/v1/track:validate", dependencies=[events])
    async def validate_track(said: dict[str, Any]) -> Answers:
        """Says what `/v1/track` would answer, and stores nothing."""
        return _answered(home.explain([said], SEGMENT.read))

    @router.post("/v1/batch", dependencies=[events])
    async def post_batch(said: SegmentBatch) -> Answers:
        """As `/v1/track`, for the many that Segment's libraries send at once."""
        return _answered(await home.take(said.batch, SEGMENT.read))

    @router.post("/v1/login", dependencies=[events])
    async def login(said: Login) -> dict[str, int]:
        """A guest turns out to be a user: the session's events become theirs, once."""
        return {"moved": await home.merge(who(None, said.session_id), said.user_id)}

    @router.get("/v1/profile", dependencies=[page])
    async def get_profile(ask: Annotated[Ask, Query()]) -> Answers:
        """What is known of a user since the last push."""
        profile = await home.profile(ask.who())
        recent = [{"item_id": e.item_id, "type": e.type, "value": e.value, "at": e.at} for e in profile.recent]
        facts = {"version": profile.version, "tags": profile.tags, "hidden": profile.hidden}
        return Answers({**facts, "settings": profile.settings, "recent": recent})

    @router.delete("/v1/profile", dependencies=[events])
    async def delete_profile(ask: Annotated[Ask, Query()]) -> dict[str, int]:
        """Removes what is known live of a user; `homefeed forget` also removes it from the data."""
        return {"removed": await home.forget(ask.who())}

    @router.get("/v1/health")
    async def health() -> dict[str, str]:
        """Whether the process answers, and which rules are in force."""
        return home.health()

    @router.get("/v1/ready", responses={503: {"description": "There is nothing to show."}})
    async def ready() -> Response:
        """Whether pages have items to show, and which rung would answer."""
        state = home.readiness()
        return Answers(state, 200 if state["items"] else 503)

    @router.get("/metrics", dependencies=[admin], response_class=PlainTextResponse)
    async def prometheus() -> Response:
        """Counters for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    return router


def _answered(answers: list[EventAnswer]) -> Answers:
    return Answers({"events": [answer.model_dump(exclude_none=True) for answer in answers]})
