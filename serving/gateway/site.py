"""The page that people open: rendered here, so that it can be read without JavaScript."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import hmac
import pathlib
import secrets
import urllib.parse
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import fastapi
import jinja2
import markupsafe
import orjson
from fastapi import Request, Response

from homefeed.serving import web
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.schema import Ask
from homefeed.serving.policy.errors import NotFound
from homefeed.serving.profiles import LiveProfile
from homefeed.serving.profiles.live import IMPRESSION
from homefeed.serving.web.texts import LANGUAGES, TEXTS, heading, why

COOKIE = "homefeed_session"
COOKIE_SECONDS = 180 * 86_400
CARDS = 8  # Of a row.
MAX_FIELDS = 128  # Of a form; of what was seen, a field a card.
FILES = {
    "home.css": "text/css",
    "home.js": "text/javascript",
    "console.css": "text/css",
    "console.js": "text/javascript",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' data: https:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
SETTINGS = {"personal": True, "impersonal": False}
_FOLDER = pathlib.Path(web.__file__).parent


@dataclasses.dataclass(frozen=True)
class Visitor:
    """Who has the page open.

    Attributes:
        session: what the browser's cookie says; nobody else knows it.
        user_id: for trying things out on one's own machine; "": a guest.
        language: of the page.
    """

    session: str
    user_id: str
    language: str

    @property
    def who(self) -> dict[str, Any]:
        """As events and pages name them."""
        return {"user_id": self.user_id} if self.user_id else {"session_id": self.session}

    @property
    def token(self) -> str:
        """Proves that a form comes from this visitor's own page: another site does not know the cookie."""
        return hashlib.sha256(f"form:{self.session}".encode()).hexdigest()

    @property
    def address(self) -> dict[str, str]:
        """What every link and form takes along."""
        return {"lang": self.language} | ({"user_id": self.user_id} if self.user_id else {})


def make_site(home: Home, *, may_name_users: bool) -> fastapi.APIRouter:
    """Routes of the page.

    Args:
        home: what it shows.
        may_name_users: whether `?user_id=` shows that user's page, as on a machine where no keys are needed.
    """
    router = fastapi.APIRouter(include_in_schema=False)

    def visitor(request: Request) -> Visitor:
        asked = request.query_params
        wanted = asked.get("lang") or request.headers.get("accept-language", "")[:2]
        user_id = _user_id(asked.get("user_id", "")) if may_name_users else ""
        session = request.cookies.get(COOKIE, "")
        return Visitor(
            session if len(session) == 43 else secrets.token_urlsafe(32),
            user_id,
            wanted if wanted in LANGUAGES else LANGUAGES[0],
        )

    def sender(request: Request, said: Mapping[str, str]) -> Visitor | None:
        """Who sent a form of their page; None: it is not theirs. Its address and language stand in hidden fields."""
        asked = Request(dict(request.scope) | {"query_string": urllib.parse.urlencode(said).encode()})
        who = visitor(asked)
        return who if hmac.compare_digest(said.get("token", "").encode(), who.token.encode()) else None

    async def show(
        who: Visitor, query: str = "", after: str = "", notice: Mapping[str, str] | None = None
    ) -> Response:
        try:
            page = await home.page(Ask(**who.who, k=CARDS, query=query, after=after))
        except NotFound:  # A page of long ago, or an address made by hand.
            page = await home.page(Ask(**who.who, k=CARDS))
        profile = await home.profile(Ask(**who.who).who())
        answer = Response(render(page, profile, who, query, notice), media_type="text/html", headers=HEADERS)
        answer.set_cookie(COOKIE, who.session, COOKIE_SECONDS, httponly=True, samesite="strict")
        return answer

    @router.get("/")
    async def get_page(request: Request) -> Response:
        asked = request.query_params
        return await show(visitor(request), asked.get("query", "")[:500], asked.get("after", "")[:64])

    @router.get("/why")
    async def get_why(request: Request) -> Response:
        who, asked = visitor(request), request.query_params
        item_id = asked.get("item", "")[:128]
        try:
            told = await home.why(asked.get("impression", "")[:64], item_id, Ask(**who.who).who())
        except NotFound:  # A page of long ago, or an address made by hand.
            told = {"title": home.title(item_id), "reasons": [], "instead": None}
        return Response(render_why(told, who), media_type="text/html", headers=HEADERS)

    @router.post("/act")
    async def act(request: Request) -> Response:
        fields = fields_of(await request.body())
        said = dict(fields)
        who = sender(request, said)
        return await show(who, notice=await _done(home, who, said)) if who else _not_theirs()

    @router.post("/seen")
    async def seen(request: Request) -> Response:
        fields = fields_of(await request.body())
        who = sender(request, dict(fields))
        if who is None:
            return _not_theirs()
        page = dict(fields).get("impression", "")[:256]
        events = [_seen(who, page, item) for item in dict.fromkeys(v for name, v in fields if name == "item")]
        if events:
            await home.take(events)
        return Response(status_code=204, headers=HEADERS)

    @router.get("/me.json")
    async def export(request: Request) -> Response:
        events = await home.events(Ask(**visitor(request).who).who())
        body = orjson.dumps([dataclasses.asdict(event) for event in events], option=orjson.OPT_INDENT_2)
        return Response(body, media_type="application/json", headers=HEADERS)

    @router.get("/static/{name}")
    async def static(name: str) -> Response:
        if name not in FILES:
            return Response(status_code=404)
        return Response(_read(name), media_type=FILES[name], headers=HEADERS | {"Cache-Control": "max-age=3600"})

    return router


def fields_of(body: bytes) -> list[tuple[str, str]]:
    """What a form sent; nothing, if it is none of ours."""
    try:
        return urllib.parse.parse_qsl(body.decode("utf-8", "replace"), max_num_fields=MAX_FIELDS)
    except ValueError:
        return []


def _not_theirs() -> Response:
    return Response("this form is not from your page", 403, HEADERS, "text/plain")


def _user_id(said: str) -> str:
    """An id as it may be; who names another one is a guest."""
    try:
        return Ask(user_id=said).user_id or ""
    except ValueError:
        return ""


def _seen(who: Visitor, page: str, item: str) -> dict[str, Any]:
    """That a card was seen: one event, however often the browser tells it."""
    event_id = hashlib.blake2b(f"{page}:{item}".encode("utf-8", "replace"), digest_size=16).hexdigest()
    return {"event_id": event_id, "type": IMPRESSION, "item_id": item, "token": page, **who.who}


async def _done(home: Home, who: Visitor, said: Mapping[str, str]) -> dict[str, str] | None:
    """Does what a button says; gives what is to be told about it."""
    kind, _, subject = said.get("act", "").partition(":")
    words = TEXTS[who.language]
    if kind == "delete":
        await home.forget(Ask(**who.who).who())
        return {"text": words["deleted"]}
    event: dict[str, Any] = {
        "event_id": said.get("event_id") or uuid.uuid4().hex,
        "type": "settings" if kind in SETTINGS else kind,
        "token": said.get("impression", "")[:256],
        **who.who,
    }
    if kind in SETTINGS:
        event["settings"] = {"personalised": SETTINGS[kind]}
    elif subject:
        event["tag" if kind == "remove_tag" else "item_id"] = subject
    (answer,) = await home.take([event])
    if answer.status == "rejected":
        return {"text": f"{answer.field}: {answer.reason}"}
    told = {"like": words["liked"], "not_for_me": words["hidden"]}.get(kind)
    title = home.title(subject)
    return {"text": told.format(title=title), "item": subject, "title": title} if told else None


def render(
    page: Mapping[str, Any],
    profile: LiveProfile,
    who: Visitor,
    query: str = "",
    notice: Mapping[str, str] | None = None,
) -> str:
    """The page as HTML."""
    words = TEXTS[who.language]
    other = next(language for language in LANGUAGES if language != who.language)
    rows = [
        {"heading": heading(words, row["reason"], row["id"]), "why": why(words, row["reason"]), "cards": row["cards"]}
        for row in page["rows"]
    ]
    return template("home.html.j2").render(
        page=page,
        rows=rows,
        edition=edition(),
        words=words,
        lang=who.language,
        other=other,
        query=query,
        notice=notice,
        token=who.token,
        tags=[{"id": tag, "name": tag.partition(":")[2] or tag} for tag, weight in _liked(profile)],
        personalised=profile.is_personalised,
        hidden=_fields(who.address),
        other_address=_address("/", who.address | {"lang": other}),
        more_address=_address("/", who.address | {"after": str(page["impression_id"])}),
        why_address=_address("/why", who.address | {"impression": str(page["impression_id"])}),
        export_address=_address("/me.json", who.address),
    )


def render_why(told: Mapping[str, Any], who: Visitor) -> str:
    """The reasons of a card as HTML."""
    said = [*told["reasons"], *([told["instead"]] if told["instead"] else [])]
    return template("why.html.j2").render(
        title=told["title"],
        sentences=[one["text"][who.language] for one in said],
        edition=edition(),
        words=TEXTS[who.language],
        lang=who.language,
        back_address=_address("/", who.address),
    )


def _liked(profile: LiveProfile) -> Sequence[tuple[str, float]]:
    return sorted(((tag, value) for tag, value in profile.tags.items() if value > 0), key=lambda tag: -tag[1])


def _address(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urllib.parse.urlencode(query)}"


def _fields(values: Mapping[str, str]) -> markupsafe.Markup:
    field = markupsafe.Markup('<input type="hidden" name="{}" value="{}">')
    return markupsafe.Markup("").join(field.format(name, value) for name, value in values.items())


@functools.cache
def template(name: str) -> jinja2.Template:
    """A template of `serving/web`, which escapes whatever it is given."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_FOLDER), autoescape=True, trim_blocks=True)
    return environment.get_template(name)


@functools.cache
def _read(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


@functools.cache
def edition() -> str:
    """Another one where a file is another, so that browsers may keep them."""
    return hashlib.sha256(b"".join(map(_read, FILES))).hexdigest()[:8]
