"""Who may see and change what, and that nobody else's page can do it for them."""

from __future__ import annotations

import httpx
import pytest

from homefeed.serving.console.routes import CHANGES, VIEWS
from tests.serving.console.desk import KEYS, Desk, press, see
from tests.serving.gateway.test_site import Parsed

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
            answer = browser.post("/console/enter", data={"key": key})
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
