"""The console of a gateway as a browser without JavaScript has it."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from homefeed.serving.audit import Entry, Trail, Wanted
from tests.serving.gateway.test_site import Parsed
from tests.serving.gateway.toy import Gateway
from tests.serving.servers import eventually

RULES = "no-comedy:\n  block: {categories: comedy}\n"
HOSTILE = "<script>alert(1)</script>"
PROMISED = "patient-user"
KEYS = {
    "vera": ("key-of-vera-16-bytes", "viewer"),
    "olga": ("key-of-olga-16-bytes", "operator"),
    "anna": ("key-of-anna-16-bytes", "admin"),
    "shop": ("key-of-shop-16-bytes", "page"),
}


@dataclasses.dataclass(frozen=True)
class Desk:
    """A gateway and its trail.

    Attributes:
        gateway: the process.
        root: of it.
        name: what a user is called in its stores.
    """

    gateway: Gateway
    root: pathlib.Path
    name: Callable[[str], str]

    def browser(self, **headers: str) -> httpx.Client:
        """One that keeps cookies and follows redirects, as browsers do."""
        address = f"http://127.0.0.1:{self.gateway.port}"
        return httpx.Client(base_url=address, follow_redirects=True, timeout=60, headers=headers)

    def trail(self, **wanted: Any) -> list[Entry]:
        """Entries, newest first."""
        return Trail.beside(self.root / "serving").entries(Wanted(**wanted))

    @contextlib.contextmanager
    def as_key(self, name: str) -> Iterator[httpx.Client]:
        """Somebody who has signed in."""
        with self.browser() as browser:
            answer = entered(browser, KEYS[name][0])
            assert answer.status_code == 200, answer.text
            assert f"{name} (" in answer.text
            yield browser


def entered(browser: httpx.Client, key: str) -> httpx.Response:
    """The answer to a key; who is told to come back, since a test has tried many keys, comes back."""

    def asked() -> httpx.Response | None:
        answer = browser.post("/console/enter", data={"key": key})
        return None if answer.status_code == 429 else answer

    answer: httpx.Response = eventually(asked, seconds=60)
    return answer


def see(browser: httpx.Client, view: str, status: int = 200, /, **query: Any) -> Parsed:
    """A page of the console; it has to be whole HTML."""
    answer = browser.get(f"/console/{view}", params=query)
    assert answer.status_code == status, answer.text
    return Parsed(answer.text)


def press(browser: httpx.Client, page: Parsed, act: str, status: int = 200, /, **fields: str) -> Parsed:
    """Sends a form of a page."""
    said = {"token": page.fields()["token"], "act": act} | fields
    answer = browser.post("/console/act", data=said)
    assert answer.status_code == status, answer.text
    return Parsed(answer.text)


def wait(browser: httpx.Client, view: str, /, **query: Any) -> Parsed:
    """A page once nothing is at work on it any more."""
    until = time.monotonic() + 120
    while "At work" in (found := see(browser, view, **query)).text:
        assert time.monotonic() < until
        time.sleep(0.3)
    return found
