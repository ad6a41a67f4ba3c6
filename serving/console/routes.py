"""Routes of the console: a view is a query, facts and a template; a change is a form, an entry and a notice."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import fastapi
import itsdangerous
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from homefeed.schemas.errors import HomefeedError
from homefeed.serving.audit import AuditError, Wanted
from homefeed.serving.audit.pages import PAGE
from homefeed.serving.console import audit, data, experiments, models, now, people, policies, why
from homefeed.serving.console.access import COOKIE, SESSION_SECONDS, Access, Operator, Role
from homefeed.serving.console.asking import AskedError, check
from homefeed.serving.console.desk import Asked, Desk, Done, Facts, NotThere
from homefeed.serving.console.shell import Shell, address, remember
from homefeed.serving.gateway.auth import Keys
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.limits import TooMuch
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.site import HEADERS, fields_of
from homefeed.serving.profiles import StoreError

MAX_LEFT = 100_000  # Sessions that were ended within the life of one.
_logger = logging.getLogger(__name__)


class View(NamedTuple):
    """A page.

    Attributes:
        role: that may see it.
        query: gives its facts.
        is_about_people: whether it is told in the trail whose it was.
    """

    role: Role
    query: Callable[[Desk, Asked], Awaitable[Facts]]
    is_about_people: bool = False


class Change(NamedTuple):
    """What a form does.

    Attributes:
        role: that may do it.
        do: does it, and writes it into the trail.
    """

    role: Role
    do: Callable[[Desk, Operator, Asked], Awaitable[Done]]


VIEWS = {
    "now": View("viewer", now.now),
    "models": View("viewer", models.models),
    "lineage": View("viewer", models.lineage),
    "data": View("viewer", data.data),
    "experiments": View("viewer", experiments.experiments),
    "why": View("operator", why.why, is_about_people=True),
    "rules": View("viewer", policies.policies),
    "people": View("admin", people.people, is_about_people=True),
    "audit": View("operator", audit.audit, is_about_people=True),
}
OFF_NAV = ("lineage",)
CHANGES = {
    "trace": Change("viewer", models.trace),
    "promote": Change("operator", models.promote),
    "rollback": Change("operator", models.rollback),
    "measure": Change("viewer", experiments.measure),
    "stop": Change("operator", experiments.stop),
    "check": Change("operator", policies.check),
    "try": Change("operator", policies.dry_run),
    "publish": Change("operator", policies.publish),
    "personal": Change("admin", people.choose),
    "impersonal": Change("admin", people.choose),
    "forget": Change("admin", people.forget),
}


def make_console(home: Home, metrics: Metrics, keys: Keys) -> fastapi.APIRouter:
    """Routes below `/console`.

    Args:
        home: what is looked at and changed.
        metrics: what it counts.
        keys: who may do what; none: whoever reaches this machine is an admin.
    """
    desk = Desk(home, metrics)
    console = _Console(desk, keys)

    @contextlib.asynccontextmanager
    async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[None]:
        console.start()
        yield
        await desk.jobs.stop()  # What was promised is done by the next process.

    router = fastapi.APIRouter(include_in_schema=False, lifespan=lifespan)
    router.get("/console")(console.front)
    router.post("/console/enter")(console.enter)
    router.post("/console/leave")(console.leave)
    router.get("/console/report")(console.report)
    router.get("/console/person.json")(console.person)
    router.get("/console/{name}")(console.view)
    router.post("/console/act")(console.act)
    return router


class _Console:
    def __init__(self, desk: Desk, keys: Keys):
        self._desk, self._keys = desk, keys
        self._access: Access | None = None
        self._notices: itsdangerous.URLSafeTimedSerializer | None = None

    def start(self) -> None:
        """Goes on with what an earlier process was asked for."""
        try:
            people.keep_promises(self._desk)
        except HomefeedError as error:
            _logger.warning("%s; who is to be forgotten there is not, until the next start", error)

    async def _door(self) -> tuple[Access, itsdangerous.URLSafeTimedSerializer]:
        """Made with the first request: the store's secret is known by then."""
        if self._access is None or self._notices is None:
            secret = await self._desk.home.live.secret()
            since = Wanted(time.time() - SESSION_SECONDS, what=["leave"], limit=MAX_LEFT)
            left = [one.subject for one in await asyncio.to_thread(self._desk.home.trail.entries, since)]
            self._access = Access(self._keys, secret, left)
            self._notices = itsdangerous.URLSafeTimedSerializer(secret, salt="console notice")
        return self._access, self._notices

    async def front(self, request: Request) -> Response:
        """The first page."""
        return RedirectResponse(address("now"), 303, HEADERS)

    async def view(self, request: Request, name: str) -> Response:
        """A page, for who may see it."""
        view = VIEWS.get(name)
        shell, refused = await self._shell(request, view.role if view else "viewer")
        if refused is not None or shell.operator is None:
            return refused or Response(status_code=401)
        if view is None:
            return self._fault(shell, "not_there", 404)
        asked = dict(request.query_params)
        try:
            check(asked)
            if view.is_about_people:
                await self._note_look(shell.operator, name, asked)
            return shell.page(name, await view.query(self._desk, asked))
        except NotThere:
            return self._fault(shell, "not_there", 404)
        except (StoreError, AuditError):  # Answered as everywhere: come back later.
            raise
        except HomefeedError as error:
            return self._fault(shell, str(error), 422)

    async def _note_look(self, operator: Operator, name: str, asked: Asked) -> None:
        """Somebody looks at a person, or at a page of theirs."""
        home, user, page = self._desk.home, asked.get("user", "")[:128], asked.get("page", "")[:64]
        exposure = await home.live.exposure(page) if page else None
        if asked.get("what") == PAGE and not user and not exposure:  # The newest, whosesoever they are.
            home.note("look", operator.name, subject=name)
        if user or exposure:
            called = exposure.user_id if exposure else home.known.published.name(user)
            home.note("look", operator.name, subject=name, user_id=called, impression_id=page if exposure else "")

    async def report(self, request: Request) -> Response:
        """A page that a run, or a report of an experiment, has drawn."""
        shell, refused = await self._shell(request, "viewer")
        if refused is not None:
            return refused
        asked = request.query_params
        try:
            check(asked)
            if name := asked.get("experiment", ""):
                return shell.around("experiments", await experiments.report(self._desk, name))
            return shell.around("data", await data.report(self._desk, asked.get("name", "")))
        except NotThere:
            return self._fault(shell, "not_there", 404)
        except AskedError as error:
            return self._fault(shell, str(error), 422)

    async def person(self, request: Request) -> Response:
        """What is known of somebody, as a file."""
        shell, refused = await self._shell(request, "admin")
        if refused is not None or shell.operator is None:
            return refused or Response(status_code=401)
        try:
            check(request.query_params)
            body = await people.export(self._desk, shell.operator, request.query_params)
        except HomefeedError as error:
            return self._fault(shell, str(error), 422)
        return Response(body, media_type="application/json", headers=HEADERS)

    async def act(self, request: Request) -> Response:
        """Does what a form says, once it is sure whose form it is."""
        said = dict(fields_of(await request.body()))
        change = CHANGES.get(said.get("act", ""))
        shell, refused = await self._shell(request, change.role if change else "viewer")
        if refused is not None or shell.operator is None:
            return refused or Response(status_code=401)
        access, notices = await self._door()
        if not access.is_own(shell.operator, said.get("token", ""), request):
            return self._fault(shell, "not_from_here", 403)
        if change is None:
            return self._fault(shell, "not_there", 404)
        try:
            done = await change.do(self._desk, shell.operator, said)
        except NotThere:
            return self._fault(shell, "not_there", 404)
        except (HomefeedError, OSError) as error:
            return self._fault(shell, str(error), 409)
        told = {"notice": notices.dumps([done.notice, done.about])} if done.notice else {}
        return RedirectResponse(address(done.page, **done.query, **told), 303, HEADERS)

    async def enter(self, request: Request) -> Response:
        """Begins a session with a key."""
        said = dict(fields_of(await request.body()))
        access, _ = await self._door()
        shell = Shell(request, None)
        try:
            cookie = access.enter(said.get("key", "").strip(), _address_of(request), time.monotonic())
        except TooMuch as error:
            return _with(shell, str(error)).page("enter", {}, 429)
        operator = access.operator(cookie) if cookie else None
        if cookie is None or operator is None:
            return _with(shell, shell.words["wrong_key"]).page("enter", {}, 401)
        self._desk.home.note("enter", operator.name, role=operator.role)
        answer = RedirectResponse(address("now"), 303, HEADERS)
        remember(answer, cookie, request)
        return answer

    async def leave(self, request: Request) -> Response:
        """Ends a session."""
        shell, refused = await self._shell(request, "viewer")
        if refused is not None or shell.operator is None:
            return refused or Response(status_code=401)
        access, _ = await self._door()
        if not access.is_own(shell.operator, dict(fields_of(await request.body())).get("token", ""), request):
            return self._fault(shell, "not_from_here", 403)
        await asyncio.to_thread(
            self._desk.home.trail.add, "leave", shell.operator.name, subject=access.leave(shell.operator)
        )
        answer = RedirectResponse(address("now"), 303, HEADERS)
        answer.delete_cookie(COOKIE, path="/console")
        return answer

    async def _shell(self, request: Request, role: Role) -> tuple[Shell, Response | None]:
        """What surrounds the answer, and an answer in its place, where there is to be none."""
        access, notices = await self._door()
        stranger, fresh = Shell(request, None), ""
        operator = access.operator(request.cookies.get(COOKIE, ""))
        if operator is None and request.method == "GET":
            fresh = access.open() or ""
            operator = access.operator(fresh)
        if operator is None:
            is_open = access.open() is not None
            return stranger, self._fault(stranger, "not_from_here", 403) if is_open else stranger.page(
                "enter", {}, 401
            )
        nav = [name for name, view in VIEWS.items() if operator.may(view.role) and name not in OFF_NAV]
        notice = _read_notice(notices, request, stranger.words)
        shell = Shell(request, operator, access.token(operator), nav, notice, cookie=fresh)
        if not operator.may(role):
            said = shell.words["not_yours"].format(about=shell.words[operator.role])
            return shell, _with(shell, said).page("fault", {}, 403)
        return shell, None

    def _fault(self, shell: Shell, said: str, status: int) -> Response:
        return _with(shell, shell.words.get(said, said)).page("fault", {}, status)


def _with(shell: Shell, fault: str) -> Shell:
    return dataclasses.replace(shell, notice=fault, is_fault=True)


def _read_notice(notices: itsdangerous.URLSafeTimedSerializer, request: Request, words: Asked) -> str:
    """What came of a change; an address that was made elsewhere says nothing."""
    try:
        notice, about = notices.loads(request.query_params.get("notice", ""), max_age=60)
    except (itsdangerous.BadData, ValueError):
        return ""
    return words[notice].format(about=about)


def _address_of(request: Request) -> str:
    return request.client.host if request.client else ""


__all__ = ["CHANGES", "VIEWS", "make_console"]
