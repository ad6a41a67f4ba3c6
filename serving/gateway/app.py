"""The gateway's HTTP: routes, limits and answers. OpenAPI is at `/openapi.json`."""

from __future__ import annotations

from typing import Annotated, Any

import fastapi
from fastapi import Body, Depends, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from homefeed.serving.audit import AuditError
from homefeed.serving.console.routes import make_console
from homefeed.serving.gateway.auth import METRICS, Keys
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.limits import TooMuch
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.middleware import Admission, Answers, BodyLimit, refusal, require_key
from homefeed.serving.gateway.schema import (
    MAX_EVENTS,
    Ask,
    AskWhy,
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
from homefeed.serving.policy.errors import NotFound
from homefeed.serving.profiles import StoreBusy, StoreError

UbiBody = Annotated[dict[str, Any] | Annotated[list[Any], Field(min_length=1, max_length=MAX_EVENTS)], Body()]
ImpressionId = Annotated[str, Path(max_length=64)]
ItemId = Annotated[str, Path(max_length=128)]
MAX_BODY_BYTES = 1 << 20
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


def make_app(
    home: Home,
    metrics: Metrics,
    keys: Keys,
    hosts: tuple[str, ...] = LOOPBACK_HOSTS,
    origins: tuple[str, ...] = (),
) -> fastapi.FastAPI:
    """The application.

    Args:
        home: what it serves.
        metrics: what `/metrics` shows.
        keys: who may ask.
        hosts: names by which it may be called: another site's page cannot get here by a name of its own.
        origins: of sites whose pages may call it from a browser and read the answers.
    """
    app = fastapi.FastAPI(title="homefeed", version="1", docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.add_middleware(Admission, home=home, keys=keys)
    if origins:  # The outermost: a front end has to read refusals as well.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Api-Key"],
            expose_headers=["Retry-After"],
        )
    app.add_exception_handler(StoreError, _not_stored)
    app.add_exception_handler(AuditError, _not_stored)
    app.add_exception_handler(TooMuch, _too_much)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _not_served)
    app.include_router(_routes(home, metrics, keys))
    app.include_router(make_site(home, may_name_users=not keys.scopes))
    app.include_router(make_console(home, metrics, keys))
    return app


async def _not_stored(_: Request, error: Exception) -> Response:
    return refusal(429 if isinstance(error, StoreBusy) else 503, "store", str(error))


async def _too_much(_: Request, error: Exception) -> Response:
    assert isinstance(error, TooMuch)
    return refusal(429, "request", str(error), error.seconds)


async def _not_understood(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    return refusal(422, ".".join(map(readable, fault["loc"])), str(fault["msg"]).removeprefix("Value error, "))


async def _not_served(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = refusal(error.status_code, "request", str(error.detail))
    if error.status_code == 405:  # By itself only the first route's own methods would be told.
        served = request.app.openapi()["paths"].get(request.url.path, {})
        answer.headers.update({"Allow": ", ".join(map(str.upper, served))} if served else error.headers or {})
    return answer


def _may(keys: Keys, scope: str) -> Any:
    """A dependency of routes: the caller has a key with a scope, in `Authorization` or `X-Api-Key`."""

    async def check(request: Request) -> None:  # Not async, it would be sent to another thread.
        key = require_key(keys, scope, request.headers)
        if request.url.path not in Admission.PATHS:  # There it was counted.
            keys.require_rate(key)

    return Depends(check)


def _routes(home: Home, metrics: Metrics, keys: Keys) -> fastapi.APIRouter:
    router = fastapi.APIRouter(default_response_class=Answers, responses=REFUSALS)
    page, events, counted = (_may(keys, scope) for scope in ("page", "events", METRICS))

    @router.get("/v1/page", dependencies=[page])
    async def get_page(ask: Annotated[Ask, Query()]) -> Response:
        """A whole page: rows of complete cards. `after` goes on from an earlier page, without a repeat."""
        try:
            return Answers(await home.page(ask))
        except NotFound as error:
            return _not_found(error)

    @router.get("/v1/why/{impression_id}/{item_id}", dependencies=[page])
    async def get_why(impression_id: ImpressionId, item_id: ItemId, ask: Annotated[AskWhy, Query()]) -> Response:
        """Why a card was on a page, for whose page it was: reasons, each with a sentence in each language."""
        try:
            return Answers(await home.why(impression_id, item_id, ask.who()))
        except NotFound as error:
            return _not_found(error)

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
        """Whether the process answers, which rules are in force, and how many items they deny."""
        return home.health()

    @router.get("/v1/ready", responses={503: {"description": "There is nothing to show."}})
    async def ready() -> Response:
        """Whether pages have items to show, and which rung would answer."""
        state = home.readiness()
        return Answers(state, 200 if state["items"] else 503)

    @router.get("/metrics", dependencies=[counted], response_class=PlainTextResponse)
    async def prometheus() -> Response:
        """Counters for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    return router


def _not_found(error: NotFound) -> Response:
    field, _, reason = str(error.args[0]).partition(": ")
    return refusal(404, field, reason)


def _answered(answers: list[EventAnswer]) -> Answers:
    return Answers({"events": [answer.told() for answer in answers]})
