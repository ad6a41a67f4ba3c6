"""The client of the home page: pages, and events that are sent until they are answered.

An event is stored once by its `event_id`, so a call that failed on the way is simply made again.
"""

from __future__ import annotations

import asyncio
import random
import time
import urllib.parse
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx

from homefeed_client.channel import is_direct

MAX_EVENTS = 500  # Of one call.
MAX_PAUSE_SECONDS = 2.0
_AGAIN = (429, 502, 503, 504)


class HomePageError(Exception):
    """The gateway refused a call, or did not answer it in time.

    Attributes:
        status: of the HTTP answer; None: there was none.
    """

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status


def why_path(impression_id: str, item_id: str) -> str:
    """Where a gateway tells why a card was on a page.

    >>> why_path("a1", "50 %/x")
    '/v1/why/a1/50%20%25%2Fx'
    """
    return f"/v1/why/{urllib.parse.quote(impression_id, '')}/{urllib.parse.quote(item_id, '')}"


class HomePageClient:
    """Asks a gateway; safe to share between threads.

    Args:
        url: of the gateway.
        api_key: where the gateway asks for one.
        timeout_seconds: of each call, all tries together.

    Example:
        >>> with HomePageClient("http://127.0.0.1:8080") as home:  # doctest: +SKIP
        ...     home.send([{"user_id": "u1", "type": "like", "item_id": "i7"}])
        ...     page = home.page(user_id="u1")
    """

    def __init__(self, url: str, *, api_key: str = "", timeout_seconds: float = 5.0):
        self._timeout_seconds = timeout_seconds
        self._http = httpx.Client(base_url=url, headers=_headers(api_key), trust_env=_may_use_a_proxy(url))

    def page(self, **ask: Any) -> dict[str, Any]:
        """A page: `user_id` or `session_id`, `k`, `query`, `after`.

        Raises:
            HomePageError: the gateway refused, or did not answer in time.
        """
        page: dict[str, Any] = self._call("GET", "/v1/page", params=ask).json()
        return page

    def why(self, impression_id: str, item_id: str, **who: str) -> dict[str, Any]:
        """Why a card was on a page, for whose page it was: `user_id` or `session_id`.

        Raises:
            HomePageError: the gateway refused, or did not answer in time.
        """
        answer: dict[str, Any] = self._call("GET", why_path(impression_id, item_id), params=who).json()
        return answer

    def send(self, events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Sends events, in order, until they are answered; gives the answers, one an event.

        An event without `event_id` gets one here.

        Raises:
            HomePageError: the gateway refused, or did not answer in time; the events may be sent again, with the
                ids that they were given if they have some.
        """
        calls = (self._call("POST", "/v1/events", json={"events": some}) for some in batches(events))
        return [answer for call in calls for answer in call.json()["events"]]

    def log_in(self, session_id: str, user_id: str) -> int:
        """Gives a user what a session did; gives the number of events.

        Raises:
            HomePageError: the gateway refused, or did not answer in time.
        """
        said = {"session_id": session_id, "user_id": user_id}
        return int(self._call("POST", "/v1/login", json=said).json()["moved"])

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> HomePageClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, method: str, path: str, **request: Any) -> httpx.Response:
        for pause, seconds_left in tries(self._timeout_seconds):
            time.sleep(pause)
            try:
                answer = self._http.request(method, path, timeout=seconds_left, **request)
            except httpx.TransportError as error:
                failure = _unanswered(error)
                continue
            if answer.status_code not in _AGAIN:
                return _checked(answer)
            failure = _refused(answer)
        raise failure


class AsyncHomePageClient:
    """As `HomePageClient`, for use inside one event loop."""

    def __init__(self, url: str, *, api_key: str = "", timeout_seconds: float = 5.0):
        self._timeout_seconds = timeout_seconds
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(api_key), trust_env=_may_use_a_proxy(url))

    async def page(self, **ask: Any) -> dict[str, Any]:
        """See `HomePageClient.page`."""
        page: dict[str, Any] = (await self._call("GET", "/v1/page", params=ask)).json()
        return page

    async def why(self, impression_id: str, item_id: str, **who: str) -> dict[str, Any]:
        """See `HomePageClient.why`."""
        answer: dict[str, Any] = (await self._call("GET", why_path(impression_id, item_id), params=who)).json()
        return answer

    async def send(self, events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """See `HomePageClient.send`."""
        calls = [await self._call("POST", "/v1/events", json={"events": some}) for some in batches(events)]
        return [answer for call in calls for answer in call.json()["events"]]

    async def log_in(self, session_id: str, user_id: str) -> int:
        """See `HomePageClient.log_in`."""
        said = {"session_id": session_id, "user_id": user_id}
        return int((await self._call("POST", "/v1/login", json=said)).json()["moved"])

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncHomePageClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _call(self, method: str, path: str, **request: Any) -> httpx.Response:
        for pause, seconds_left in tries(self._timeout_seconds):
            await asyncio.sleep(pause)
            try:
                answer = await self._http.request(method, path, timeout=seconds_left, **request)
            except httpx.TransportError as error:
                failure = _unanswered(error)
                continue
            if answer.status_code not in _AGAIN:
                return _checked(answer)
            failure = _refused(answer)
        raise failure


def _headers(api_key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


def batches(events: Sequence[Mapping[str, Any]]) -> list[list[dict[str, Any]]]:
    """Events with ids, in calls that the gateway takes."""
    named = [{"event_id": uuid.uuid4().hex, **event} for event in events]
    return [named[start : start + MAX_EVENTS] for start in range(0, len(named), MAX_EVENTS)]


def tries(timeout_seconds: float) -> Iterator[tuple[float, float]]:
    """Pause before each try, and the seconds that are left for it: at least one try, longer pauses each time."""
    deadline, pause = time.monotonic() + timeout_seconds, 0.0
    while (left := deadline - time.monotonic() - pause) > 0:
        yield pause, left
        pause = random.uniform(0.5, 1.0) * min(MAX_PAUSE_SECONDS, max(0.1, 3 * pause))


def _may_use_a_proxy(url: str) -> bool:
    return not is_direct(httpx.URL(url).netloc.decode())


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        raise _refused(answer)
    return answer


def _refused(answer: httpx.Response) -> HomePageError:
    return HomePageError(f"{answer.status_code} from {answer.url}: {answer.text[:300]}", answer.status_code)


def _unanswered(error: httpx.TransportError) -> HomePageError:
    return HomePageError(f"no answer from {error.request.url}: {error or type(error).__name__}")
