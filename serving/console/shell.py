"""What surrounds every page of the console: header, navigation, notices; also pages that were drawn elsewhere."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import Request, Response

from homefeed.serving.console.access import COOKIE, SESSION_SECONDS, Operator
from homefeed.serving.gateway.site import HEADERS, edition, template
from homefeed.serving.web.console_texts import CONSOLE_TEXTS
from homefeed.serving.web.texts import LANGUAGES

LANGUAGE_COOKIE = "homefeed_language"
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Shell:
    """What one answer needs to know of who reads it.

    Attributes:
        request: that is answered.
        operator: who asks; None: nobody is known yet.
        token: of their forms.
        nav: names of the pages that they may see.
        notice: a sentence above the page; "": none.
        is_fault: whether it tells a fault.
        cookie: of a session that begins with this answer; "": none does.
    """

    request: Request
    operator: Operator | None
    token: str = ""
    nav: Sequence[str] = ()
    notice: str = ""
    is_fault: bool = False
    cookie: str = ""

    @property
    def language(self) -> str:
        """As the address says, as it said last, or as the browser does."""
        asked = self.request.query_params.get("lang") or self.request.cookies.get(LANGUAGE_COOKIE, "")
        wanted = asked or self.request.headers.get("accept-language", "")[:2]
        return wanted if wanted in LANGUAGES else LANGUAGES[0]

    @property
    def words(self) -> Mapping[str, str]:
        """Of the language."""
        return CONSOLE_TEXTS[self.language]

    def page(self, name: str, facts: Mapping[str, Any], status: int = 200) -> Response:
        """A page of its template."""
        body = template(f"console/{name}.html.j2").render(
            **facts, **self._around(name), at=_at, address=address, json=_json, percent=_percent
        )
        return self._answer(body, HEADERS, status)

    def around(self, name: str, page: str) -> Response:
        """A page that was drawn elsewhere, below this header; its own styles count, and no others.

        Args:
            name: of the page of the console that it belongs to.
            page: a whole HTML page with a style sheet in it.
        """
        header = template("console/around.html.j2").render(**self._around(name), address=address)
        body = page.replace("</style>", f"</style>{header}<main id=page tabindex=-1>", 1)
        body = body.replace("</html>", "</main></html>")
        hashes = [
            base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in _STYLE.findall(page)
        ]
        styles = " ".join(["style-src 'self'", *(f"'sha256-{one}'" for one in hashes)])
        policy = HEADERS["Content-Security-Policy"].replace("style-src 'self'", styles)
        return self._answer(body, HEADERS | {"Content-Security-Policy": policy}, 200)

    def _around(self, name: str) -> dict[str, Any]:
        other = next(one for one in LANGUAGES if one != self.language)
        query = dict(self.request.query_params) | {"lang": other}
        return {
            "here": name,
            "words": self.words,
            "lang": self.language,
            "other": other,
            "other_address": f"{self.request.url.path}?{urllib.parse.urlencode(query)}",
            "operator": self.operator,
            "token": self.token,
            "nav": self.nav,
            "notice": self.notice,
            "is_fault": self.is_fault,
            "edition": edition(),
        }

    def _answer(self, body: str, headers: Mapping[str, str], status: int) -> Response:
        answer = Response(body, status, dict(headers), "text/html")
        if self.request.query_params.get("lang") == self.language:
            answer.set_cookie(LANGUAGE_COOKIE, self.language, path="/console", httponly=True, samesite="strict")
        if self.cookie:
            remember(answer, self.cookie, self.request)
        return answer


def remember(answer: Response, cookie: str, request: Request) -> None:
    """Has a browser keep the cookie of a session."""
    is_secure = request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, cookie, SESSION_SECONDS, path="/console", secure=is_secure, httponly=True, samesite="strict"
    )


def address(page: str, /, **query: Any) -> str:
    """Of a page of the console; what is empty is left out."""
    said = {name: str(value) for name, value in query.items() if value not in (None, "")}
    return f"/console/{page}{'?' if said else ''}{urllib.parse.urlencode(said)}"


def _at(milliseconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _json(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def _percent(value: float) -> str:
    return f"{value:.2%}"
