"""Who may see and change what, and that nobody else's page can do it for them."""

from __future__ import annotations

import hashlib
import itertools
import pathlib
import re

import httpx
import pytest

from homefeed.serving.console import routes
from homefeed.serving.console.access import Access
from homefeed.serving.console.asking import PARAMETERS
from homefeed.serving.console.routes import CHANGES, VIEWS
from homefeed.serving.gateway.auth import Keys
from homefeed.serving.profiles.wishes import Wishes
from tests.serving.console.desk import KEYS, PROMISED, Desk, entered, press, see
from tests.serving.gateway.test_site import Parsed
from tests.serving.servers import eventually

ROLES = ("viewer", "operator", "admin")
FACTS = {"lineage": {"version": "1"}}


def may(name: str, role: str) -> bool:
    return ROLES.index(KEYS[name][1]) >= ROLES.index(role)


@pytest.mark.parametrize("name", ["vera", "olga", "anna"])
def test_each_role_sees_its_pages_and_does_its_changes(keyed: Desk, name: str) -> None:
    with keyed.as_key(name) as browser:
        page = see(browser, "now")
        shown = {str(link["href"]).removeprefix("/console/") for link in page.all("a")} & VIEWS.keys()
        assert shown == {one for one, view in VIEWS.items() if may(name, view.role)} - {"lineage"}
        for view, (role, *_) in VIEWS.items():
            see(browser, view, 200 if may(name, role) else 403, **FACTS.get(view, {}))
        see(browser, "person.json", 422 if may(name, "admin") else 403)
        for change, (role, _) in CHANGES.items():
            answer = browser.post("/console/act", data={"token": page.fields()["token"], "act": change})
            assert (answer.status_code == 403) != may(name, role), (change, answer.status_code)


def test_without_a_role_there_is_only_a_door(keyed: Desk) -> None:
    with keyed.browser() as browser:
        for view in VIEWS:
            assert see(browser, view, 401).all("input")[0]["name"] == "key"
        for address in ("/console/report?name=x", "/console/person.json?user=fan"):
            assert browser.get(address).status_code == 401
        assert browser.post("/console/act", data={"act": "rollback"}).status_code == 401
        for key in (KEYS["shop"][0], "no-such-key-of-16-bytes", ""):
            answer = entered(browser, key)
            assert answer.status_code == 401 and "This key has no role here." in answer.text
        assert browser.get("/v1/page", headers={"Authorization": f"Bearer {KEYS['anna'][0]}"}).status_code == 403


def test_keys_are_not_guessed_at_leisure(keyed: Desk) -> None:
    with keyed.browser() as browser:
        answers = [browser.post("/console/enter", data={"key": f"guess-{n}"}).status_code for n in range(40)]
        assert 429 in answers and set(answers) <= {401, 429}


def test_a_session_ends(keyed: Desk) -> None:
    from homefeed.serving.profiles.store import LIVE_FILE_NAME, open_to_read
    from tests.serving.console import tokens

    (secret,) = open_to_read(keyed.root / "serving" / LIVE_FILE_NAME).execute("SELECT value FROM secrets").fetchone()
    with keyed.browser() as browser:
        for cookie, status in tokens.cookies(secret, KEYS["olga"][0]):
            browser.cookies.set("homefeed_console", cookie, path="/console")
            assert browser.get("/console/now").status_code == status, cookie
            browser.cookies.clear()


def test_leaving(desk: Desk, keyed: Desk) -> None:
    with desk.browser() as browser:
        assert "Sign out" not in see(browser, "now").text
    with keyed.browser() as browser:
        assert browser.post("/console/leave").status_code == 401
    with keyed.as_key("olga") as browser, keyed.browser() as thief:
        thief.cookies.update(browser.cookies)
        token = see(thief, "now").fields()["token"]
        assert "Sign out" not in browser.post("/console/leave", data={"token": token}).text
        see(thief, "now", 401)
    (entry,) = keyed.trail(what=["leave"])
    assert entry.who == "olga"
    keys, secret = Keys({hashlib.sha256(b"k").digest(): frozenset(["viewer"])}), b"secret"
    cookie = Access(keys, secret).enter("k", "here", 0.0) or ""
    access = Access(keys, secret)
    operator = access.operator(cookie)
    assert operator
    left = access.leave(operator)
    assert access.operator(cookie) is None
    assert Access(keys, secret, [left]).operator(cookie) is None, "nor after a restart"
    assert Access(keys, secret).operator(cookie) == operator


ODD = ("9" * 30, "-1", "\x00", "x" * 5_000, "../../etc/passwd", "' OR 1=1 --", "\u202eabc", "\ufffd%")


def test_an_address_that_says_something_odd_is_refused_in_a_line(keyed: Desk) -> None:
    with keyed.as_key("anna") as browser:
        for view, (name, (is_right, _)) in itertools.product([*VIEWS, "report", "person.json"], PARAMETERS.items()):
            for odd in ODD:
                answer = browser.get(f"/console/{view}", params={**FACTS.get(view, {}), name: odd})
                assert answer.status_code in (200, 404, 422), (view, name, odd)
                if not is_right(odd):
                    assert answer.status_code == 422, (view, name, odd)
                    (told,) = re.findall(r'role="alert">(.*?)</p>', answer.text)
                    assert told.startswith(f"{name}: ") and "is none; expected" in told
        for view in VIEWS:
            assert browser.get(f"/console/{view}?user=%ff%00&version=%f0%28").status_code in (404, 422)
            unknown = browser.get(f"/console/{view}", params={"notice": "x", "no-such": "\0", **FACTS.get(view, {})})
            assert unknown.status_code == 200


def test_every_parameter_that_is_read_has_a_form() -> None:
    folder = pathlib.Path(routes.__file__).parent
    read = set(re.findall(r'asked(?:\.get\(|\[)"(\w+)"', "".join(path.read_text() for path in folder.glob("*.py"))))
    assert {"user", "page", "version"} < read <= PARAMETERS.keys()


def test_what_was_promised_before_a_gateway_died_is_done_by_the_next(keyed: Desk) -> None:
    eventually(lambda: not Wishes(keyed.root / "serving").all(), seconds=60)
    eventually(lambda: [one.what for one in keyed.trail(users=[PROMISED])] == ["forget"])


@pytest.mark.parametrize("forged", ["no token", "another session's", "garbage", "no cookie", "origin", "null origin"])
def test_a_forged_form_does_nothing(desk: Desk, forged: str) -> None:
    before = desk.gateway.http.get("/console/models").text.count("canary"), len(desk.trail())
    with desk.browser() as browser, desk.browser() as other:
        own, foreign = see(browser, "models").fields()["token"], see(other, "models").fields()["token"]
        said, headers = {"act": "rollback", "token": own}, httpx.Headers()
        if forged == "no token":
            del said["token"]
        elif forged == "another session's":
            said["token"] = foreign
        elif forged == "garbage":
            said["token"] = own[:-2] + "xx"
        elif forged == "no cookie":
            browser.cookies.clear()
        else:
            headers["Origin"] = "null" if forged == "null origin" else "https://evil.test"
        answer = browser.post("/console/act", data=said, headers=headers)
    assert answer.status_code == 403 and "This form is not from a page of yours" in answer.text
    assert (desk.gateway.http.get("/console/models").text.count("canary"), len(desk.trail())) == before


def test_pages_are_closed_to_other_sites_and_take_nothing_from_elsewhere(desk: Desk) -> None:
    with desk.browser() as browser:
        for view in VIEWS:
            answer = browser.get(f"/console/{view}", params=FACTS.get(view))
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
            assert answer.headers["cache-control"] == "no-store"
            page = Parsed(answer.text)
            assert not any(name.startswith("on") or name == "style" for _, tag in page.tags for name in tag)
            assert all(str(tag.get("src")).startswith("/static/") for tag in page.all("script"))
        cookie = browser.get("/console/now?lang=zh").headers.get_list("set-cookie")
        assert all("HttpOnly" in one and "SameSite=strict" in one and "Path=/console" in one for one in cookie)
        assert "控制台" in browser.get("/console/now").text  # The language stays.
        assert browser.get("/console/no-such-page").status_code == 404
        forged = "/console/now?notice=All%20is%20lost"
        assert "All is lost" not in browser.get(forged).text


def test_a_notice_tells_what_was_done_once_and_only_ours(desk: Desk) -> None:
    with desk.browser() as browser:
        page = see(browser, "people", user="noted")
        page = press(browser, page, "impersonal", user="noted")
        assert "noted is shown a page that is the same for everybody." in page.text
