"""What the console shows and changes, form by form; whatever it does is in the audit trail."""

from __future__ import annotations

import contextlib
import pathlib
import re
import sqlite3
import time
import urllib.parse

import orjson
import pytest

from homefeed.serving.audit import Trail, Wanted, operator
from homefeed.serving.audit.versions import version_of
from homefeed.serving.console import drawing
from homefeed.serving.console.audit import MAX_LISTED
from homefeed.serving.log.copy import LOG_FILE_NAME
from homefeed.serving.profiles import LiveStore
from homefeed.serving.profiles.store import LIVE_FILE_NAME
from homefeed.serving.web.console_texts import CONSOLE_TEXTS
from tests.serving.console.desk import HOSTILE, RULES, Desk, press, see, wait
from tests.serving.gateway import toy
from tests.serving.servers import eventually

DRAMA = "no-drama:\n  block: {categories: drama}\n"


def test_now_tells_rungs_clicks_and_faults(desk: Desk) -> None:
    gateway = desk.gateway
    eventually(lambda: gateway.http.get("/v1/ready").json()["models"])
    page = gateway.page(user_id="clicker")
    first = toy.items(page)[0]
    gateway.send(
        {"event_id": "now-1", "user_id": "clicker", "type": "view", "item_id": first, "token": page["token"]}
    )
    with desk.browser() as browser:
        told = see(browser, "now")
        assert "100.00% of the cards that were seen were acted on; readers: 1, too few" in told.text
        assert "answers, version 1" in told.text and "Nothing is wrong." in told.text and "fused" in told.text
        file = desk.root / "rules.yaml"
        file.write_text("wrong: {blocks: {}}\n")
        eventually(lambda: "rules.yaml: wrong" in see(browser, "now").text)
        file.write_text(RULES)
        eventually(lambda: "Nothing is wrong." in see(browser, "now").text)


def test_models_are_promoted_and_rolled_back_and_the_trail_says_by_whom(desk: Desk) -> None:
    with desk.browser() as browser:
        page = see(browser, "models")
        assert "canary" in page.text and "stable" in page.text
        page = press(browser, page, "promote", version="2")
        assert "Version 2 is stable." in page.text
        page = press(browser, page, "promote", 409, version="9")
        assert "version 9 does not exist" in page.text
        press(browser, see(browser, "models"), "promote", 404, version="../1")
        assert "Rolled back: version 1 is stable." in press(browser, see(browser, "models"), "rollback").text
        page = press(browser, see(browser, "models"), "rollback", 409)
        assert "no version before 1" in page.text
        told = [(one.what, one.who, one.subject) for one in desk.trail(what=["promote", "roll back"])]
        assert told == [("roll back", "this machine", "1"), ("promote", "this machine", "2")]
        assert "roll back" in see(browser, "audit").text


def test_a_page_is_made_again_as_it_was_without_an_event_and_under_other_rules(desk: Desk) -> None:
    gateway = desk.gateway
    for place, item in enumerate(("i05", "i12")):
        gateway.did(f"why-{place}", "asker", "view", item)
    page = gateway.page(user_id="asker")
    with desk.browser() as browser:
        listed = see(browser, "why", user="asker")
        assert page["impression_id"][:12] in listed.text
        again = see(browser, "why", page=page["impression_id"])
        assert "It is the same page again." in again.text and "Title of i11" in again.text
        other = see(browser, "why", page=page["impression_id"], without="i12")
        assert "It is another page" in other.text and "Version 1 answered." in other.text
        assert other.text.index("Title of i04") > 0  # Near i05, the newest that is left.
        (version,) = {one.details["version"] for one in desk.trail(what=["in force"], subject="rules")} - {""}
        assert "It is the same page again." in see(browser, "why", page=page["impression_id"], rules=version).text
        see(browser, "why", 404, page=page["impression_id"], rules="no-such-version")
        for label, answer in (("canary", "Version"), ("stable", "Version 1 answered.")):
            assert answer in see(browser, "why", page=page["impression_id"], label=label).text
        assert "There is no such page" in see(browser, "why", page="0" * 32).text
    looks = desk.trail(what=["look"], impression_id=page["impression_id"])
    assert len(looks) >= 4 and {one.who for one in looks} == {"this machine"}


def test_a_page_whose_versions_are_gone_cannot_be_replayed(desk: Desk) -> None:
    page = desk.gateway.page(user_id="of-before")["impression_id"]
    live = desk.root / "serving" / LIVE_FILE_NAME

    def was(**facts: object) -> None:
        with contextlib.closing(sqlite3.connect(live, timeout=30)) as database, database:
            query = "SELECT page FROM exposures WHERE impression_id = ?"
            known = orjson.loads(eventually(lambda: database.execute(query, (page,)).fetchone())[0])
            told = orjson.dumps(known | facts).decode()
            database.execute("UPDATE exposures SET page = ? WHERE impression_id = ?", (told, page))

    rules_version = desk.gateway.http.get("/v1/health").json()["rules_version"]
    with desk.browser() as browser:
        for facts, told in (
            ({"rules_version": "of-no-file"}, "the rules and surfaces of then are neither in force"),
            ({"rules_version": rules_version, "pushed_at": 1.5}, "those of another push, and are gone"),
        ):
            was(**facts)
            shown = see(browser, "why", page=page).text
            assert "It cannot be replayed: " in shown and told in shown and "another page" not in shown


def test_rules_that_name_files_are_checked_tried_and_published(desk: Desk) -> None:
    (desk.root / "lists").mkdir()
    (desk.root / "lists" / "ids.txt").write_text("i25\ni12\n")
    listed = "ids: {deny: {item_id: {file: lists/ids.txt}}}\n"
    before = (desk.root / "rules.yaml").read_text()
    current = version_of(before)
    desk.gateway.page(user_id="reader-of-lists")
    with desk.browser() as browser:
        page = see(browser, "rules")
        missing = press(browser, page, "check", kind="rules", current=current, text=listed.replace("ids.", "no."))
        assert "lists/no.txt cannot be read" in missing.text
        checked = press(browser, page, "check", kind="rules", current=current, text=listed)
        assert "It can be in force." in checked.text and "no version is kept: lists/ids.txt" in checked.text
        press(browser, page, "try", kind="rules", current=current, text=listed)
        assert "pages would be others" in wait(browser, "rules", kind="rules", version=version_of(listed)).text
        press(browser, page, "publish", kind="rules", current=current, text=listed)
        eventually(lambda: desk.gateway.http.get("/v1/health").json().get("denied") == "ids: 2")
        eventually(lambda: desk.trail(what=["in force"], subject="rules")[0].details.get("lists"))
        assert "in force now" in see(browser, "rules").text
        press(browser, page, "publish", kind="rules", current=version_of(listed), text=before)
    eventually(lambda: current in desk.gateway.http.get("/v1/health").json()["rules_version"])
    back, gone = desk.trail(what=["publish"])[:2]
    assert gone.details["lists"] == {"lists/ids.txt": version_of("i25\ni12\n")} and "lists" not in back.details


def test_rules_are_checked_tried_published_and_gone_back_from(desk: Desk) -> None:
    for number in range(3):
        shown = desk.gateway.page(user_id=f"reader-{number}")
    with desk.browser() as browser:
        page = see(browser, "rules")
        current = page.fields()["current"]
        wrong = press(browser, page, "check", kind="rules", current=current, text="a: {block: {categorie: drama}}")
        assert "It cannot be in force:" in wrong.text and "did you mean 'categories'" in wrong.text
        for act in ("try", "publish"):
            press(browser, page, act, 200 if act == "try" else 409, kind="rules", current=current, text="a: {}")
        long = f"# {'x' * 500_000}\n{DRAMA}"
        refused = press(browser, page, "publish", 409, kind="rules", current=current, text=long)
        assert "expected at most 500,000" in refused.text
        assert (desk.root / "rules.yaml").read_text() == RULES
        draft = press(browser, page, "check", kind="rules", current=current, text=DRAMA.replace("\n", "\r\n"))
        assert "It can be in force." in draft.text and "+no-drama:" in draft.text and "-no-comedy:" in draft.text
        press(browser, page, "try", kind="rules", current=current, text=DRAMA)
        tried = wait(browser, "rules", kind="rules", version=version_of(DRAMA))
        assert "pages would be others" in tried.text and "Title of i" in tried.text
        done = press(browser, page, "publish", kind="rules", current=current, text=DRAMA)
        assert f"Published: rules {version_of(DRAMA)}" in done.text
        assert (desk.root / "rules.yaml").read_text() == DRAMA
        eventually(lambda: version_of(DRAMA) in desk.gateway.http.get("/v1/health").json()["rules_version"])
        late = press(browser, page, "publish", 409, kind="rules", current=current, text=RULES)
        assert "rules.yaml was changed by this machine, and is" in late.text and "+no-drama:" in late.text
        earlier = see(browser, "rules", kind="rules", version=version_of(RULES))
        again = see(browser, "why", page=shown["impression_id"]).text
        assert "It is the same page again." in again, "by the rules of then, which are no longer in force"
        back = press(browser, earlier, "publish", kind="rules", current=version_of(DRAMA), text=RULES)
        assert "Published" in back.text and (desk.root / "rules.yaml").read_text() == RULES
    published = desk.trail(what=["publish"])[:2]
    assert [(one.who, one.details["text"]) for one in published] == [("this machine", RULES), ("this machine", DRAMA)]
    eventually(lambda: version_of(RULES) in desk.gateway.http.get("/v1/health").json()["rules_version"])


@pytest.mark.parametrize("kind", ["surfaces", "experiments"])
def test_other_files_are_published_too(desk: Desk, kind: str) -> None:
    file = desk.root / f"{kind}.yaml"
    before = file.read_text()
    with desk.browser() as browser:
        page = see(browser, "rules", kind=kind)
        said = {"kind": kind, "current": page.fields()["current"]}
        press(browser, page, "publish", 409, **said, text="x: 1\n")
        press(browser, page, "publish", 200, **said, text=f"# Looked at.\n{before}")
    assert file.read_text() == f"# Looked at.\n{before}"
    file.write_text(before)
    published = desk.trail(what=["publish"], subject=kind)
    assert [one.details["text"] for one in published] == [f"# Looked at.\n{before}"]


def test_an_experiment_is_reported_and_stopped_whatever_it_is_called(desk: Desk) -> None:
    desk.gateway.page(user_id="subject")
    with desk.browser() as browser:
        page = see(browser, "experiments")
        assert HOSTILE in page.text and "length: 6" in page.text
        press(browser, page, "measure", name=HOSTILE)
        told = wait(browser, "experiments")
        assert "It failed" not in told.text
        drawn = browser.get("/console/report", params={"experiment": HOSTILE})
        assert drawn.status_code == 200 and "<script>alert" not in drawn.text and "click rate" in drawn.text
        assert "sha256-" in drawn.headers["content-security-policy"] and 'href="/console/models"' in drawn.text
        press(browser, page, "stop", 404, name=HOSTILE, arm="no-such-arm")
        stopped = press(browser, page, "stop", name=HOSTILE, arm="short", reason="it is enough")
        assert f"{HOSTILE} is stopped." in stopped.text and "it is enough" in stopped.text
    (entry,) = desk.trail(what=["stop"])
    assert (entry.subject, entry.who, entry.details) == (
        HOSTILE,
        "this machine",
        {"arm": "short", "reason": "it is enough"},
    )


def test_data_shows_verdicts_and_the_pages_of_runs(desk: Desk) -> None:
    (desk.root / "reports").mkdir(exist_ok=True)
    report = '<!DOCTYPE html><html><title>Drift</title><style>p{}</style><a href="index.html">x</a></html>'
    (desk.root / "reports" / "span-2.drift.html").write_text(report)
    verdicts = {
        "1": {"events": 5, "reasons": [], "drifted": []},
        "2": {"events": 0, "reasons": [HOSTILE], "drifted": []},
    }
    ledger = {"spans": verdicts, "runs": [{"key": "k", "outcome": "pushed", "finished_at": "2024-01-01"}]}
    (desk.root / "retraining.json").write_bytes(orjson.dumps(ledger))
    LiveStore(desk.root / "serving" / LOG_FILE_NAME).close()
    with contextlib.closing(sqlite3.connect(desk.root / "serving" / LOG_FILE_NAME)) as copy, copy:
        rows = [("span-of-the-log", 2), ("log-1", 1)]
        copy.executemany("INSERT INTO sealed VALUES (?, ?, 0, 41, 0, 7, '{}', 1)", rows)
    with desk.browser() as browser:
        listed = see(browser, "data").text
        assert "span-of-the-log" in listed and "log-1" not in listed
        page = see(browser, "data")
        assert "refused" in page.text and HOSTILE in page.text and "pushed" in page.text
        answer = browser.get("/console/report", params={"name": "span-2.drift.html"})
        assert 'href="/console/report?name=index.html"' in answer.text and "Experiments" in answer.text
        for name in ("../retraining.json", "retraining.json", "/etc/passwd", "index.html"):
            assert browser.get("/console/report", params={"name": name}).status_code == 404


def test_a_person_is_shown_exported_and_forgotten(desk: Desk) -> None:
    person = '--data=<b>"mara"</b>'  # No option of the verb either.
    page = desk.gateway.page(user_id=person)
    desk.gateway.did("mara-1", person, "like", "i03", token=page["token"])
    name = desk.name(person)
    with desk.browser() as browser:
        known = see(browser, "people", user=person)
        assert f"What is known of {person}" in known.text and name in known.text
        exported = browser.get("/console/person.json", params={"user": person}).json()
        assert [event["item_id"] for event in exported["events"]] == ["i03"] and len(exported["pages"]) == 1
        shown = press(browser, known, "impersonal", user=person)
        assert "same for everybody" in shown.text
        refused = press(browser, shown, "forget", 409, user=person, again="somebody else")
        assert "nobody was forgotten" in refused.text
        assert {one.what for one in desk.trail(users=[name])} == {"export", "settings", "look"}
        assert f"{name}" in see(browser, "audit", user=person).text
        forgotten = press(browser, shown, "forget", user=person, again=person)
        assert person not in str(forgotten.tags) and "It failed" not in forgotten.text
    # Both have written: the console at once, and the verb once it is through.
    eventually(lambda: len(desk.trail(users=[name], what=["forget"])) == 2)
    eventually(lambda: not any("outcome" in one.details for one in desk.trail(users=[name], what=["forget"])))
    assert desk.gateway.http.get("/v1/profile", params={"user_id": person}).json()["version"] == 0
    assert {one.what for one in desk.trail(users=[name])} == {"forget"}
    for file in (desk.root / "serving").rglob("*.sqlite*"):
        assert name.encode() not in file.read_bytes() and b"mara" not in file.read_bytes(), file


def test_reasons_that_were_told_are_in_the_trail(desk: Desk) -> None:
    desk.gateway.did("told-1", "told", "view", "i07")
    page = desk.gateway.page(user_id="told")
    address = f"/v1/why/{page['impression_id']}/{toy.items(page)[0]}"
    told = desk.gateway.http.get(address, params={"user_id": "told"}).json()
    eventually(lambda: desk.trail(what=["why"], impression_id=page["impression_id"]))
    (entry,) = desk.trail(what=["why"], impression_id=page["impression_id"])
    assert (entry.who, entry.user_id, entry.subject) == ("reader", desk.name("told"), toy.items(page)[0])
    assert entry.details["reasons"] == [one["text"] for one in told["reasons"]] + (
        [told["instead"]["text"]] if told["instead"] else []
    )


def test_pages_are_in_the_audit_view_with_what_was_in_force(desk: Desk) -> None:
    page = desk.gateway.page(user_id="audited", query="Title")
    with desk.browser() as browser:
        for query in ({"what": "page"}, {"user": "audited"}, {"page": page["impression_id"]}):
            eventually(lambda: page["impression_id"][:12] in see(browser, "audit", **query).text)  # noqa: B023
        told = see(browser, "audit", page=page["impression_id"]).text
        assert f"rules_version: {page['rules_version']}" in told and "query: Title" in told
        for query in ({"what": "page"}, {"user": "audited"}):
            assert page["impression_id"][:12] not in see(browser, "audit", **query, before="1000").text
        now = str(round(time.time() * 1000) + 1)
        assert page["impression_id"][:12] in see(browser, "audit", user="audited", before=now).text
    name, looks = desk.name("audited"), ("look", "audit")
    eventually(lambda: looks in {(one.what, one.subject) for one in desk.trail(users=[name])})
    eventually(lambda: looks in {(one.what, one.subject) for one in desk.trail() if not one.user_id})


def test_no_entry_of_one_millisecond_is_skipped_where_a_page_ends(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail, at = Trail.beside(desk.root / "serving"), 1_500_000_000_000
    monkeypatch.setattr("time.time_ns", lambda: at * 1_000_000)
    for number in range(3 * MAX_LISTED):
        trail.add("review", "anna", subject=f"edge-{number:03}", user_id="edge")
    monkeypatch.undo()
    found, query = list[str](), {"user": "edge", "what": "review"}
    with desk.browser() as browser:
        for _ in range(4):
            page = see(browser, "audit", **query)
            found += re.findall(r"edge-\d{3}", page.text)
            links = [str(one.get("href")) for one in page.all("a")]
            older = [one for one in links if "before=" in one and "lang=" not in one]
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(older[0]).query)) if older else {}
    assert found == [f"edge-{number:03}" for number in reversed(range(3 * MAX_LISTED))]


def test_to_look_at_a_page_starts_nothing(desk: Desk) -> None:
    with desk.browser() as browser:
        for _ in range(2):
            page = see(browser, "lineage", version="1")
            assert "At work" not in page.text and "It failed" not in page.text
        told = press(browser, page, "trace", version="1")
        assert "At work" in told.text
        assert "It failed" in wait(browser, "lineage", version="1").text, "nothing was recorded of these models"


def test_lineage_is_drawn_from_what_was_recorded() -> None:
    spans = {"type": "DatasetDir", "path": "p", "digest": "d0"}
    made = {"component": "ExampleGen", "summary": "<b>", "finished_at": "1", "inputs": {"data": spans}}
    examples = {"type": "Examples", "path": "p", "digest": "d1", "made_by": made}
    trained = {"component": "Trainer", "summary": "s", "finished_at": "2", "inputs": {"a": examples, "b": spans}}
    pushed = {"type": "PushedModel", "version": 3, "path": "p", "digest": "d2", "made_by": trained}
    nodes, arrows = drawing.lineage(pushed)
    assert [(one.title, one.depth) for one in nodes] == [("Trainer", 0), ("ExampleGen", 1), ("DatasetDir", 2)]
    assert {(source.split()[0], target.split()[0]) for source, target in arrows} == {
        ("DatasetDir", "ExampleGen"),
        ("ExampleGen", "Trainer"),
        ("DatasetDir", "Trainer"),
    }
    drawn = drawing.graph(nodes, arrows)
    assert drawn.count("<rect") == 3 and drawn.count("<path") == 3 and "<b>" not in drawn


def test_both_languages_have_the_same_words_and_places_for_values() -> None:
    english, chinese = CONSOLE_TEXTS["en"], CONSOLE_TEXTS["zh"]
    for name in english:
        values = [{part.partition("}")[0] for part in text.split("{")[1:]} for text in (english[name], chinese[name])]
        assert values[0] == values[1], name
        assert not hasattr(dict, name), f"templates would find the method: {name}"


def test_the_trail_of_a_command_line_names_the_user_of_the_machine(tmp_path: pathlib.Path) -> None:
    Trail(tmp_path / "audit.sqlite").add("promote", operator())
    assert Trail(tmp_path / "audit.sqlite").entries(Wanted())[0].who == operator() != ""
