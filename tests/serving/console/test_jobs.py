"""What waits has an end, and what was promised has none; two consoles do not write over each other."""

from __future__ import annotations

import asyncio
import concurrent.futures
import pathlib
import subprocess
import sys
import tempfile
import time
import types

import pytest

from homefeed.schemas.alone import alone_in
from homefeed.serving.audit import Trail
from homefeed.serving.audit.versions import version_of
from homefeed.serving.console import jobs, policies
from homefeed.serving.console.policies import ConflictError
from homefeed.serving.gateway.server import GRACE_SECONDS
from homefeed.serving.profiles import wishes
from homefeed.serving.profiles.wishes import WISHES_FILE_NAME, WishError, Wishes
from tests.serving.console.desk import RULES, Desk, press, see
from tests.serving.gateway import toy
from tests.serving.servers import eventually


def test_only_so_many_jobs_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MAX_WAITING", 2)
    monkeypatch.setattr(jobs, "PROGRAM", [sys.executable, "-c", "print('[]')"])

    async def fill() -> None:
        desk = jobs.Jobs()
        first = [desk.start(name, "verb") for name in ("a", "b", "b")]
        with pytest.raises(jobs.JobsError, match="2 jobs wait, and no more may: come back when some are through"):
            desk.start("c", "verb")
        await done(first)
        assert first[0].found == []
        await done([desk.start("c", "verb")])

    async def done(started: list[jobs.Job]) -> None:
        while not all(job.is_done for job in started):
            await asyncio.sleep(0.05)

    asyncio.run(fill())


def test_a_promise_outlives_who_made_it_and_only_so_many_are_made(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wishes, "MAX_WISHES", 2)
    for user in ("zebra-user", "u2", "zebra-user"):
        Wishes(tmp_path).add(user)
    with pytest.raises(WishError, match="2 people wait to be forgotten, and no more may"):
        Wishes(tmp_path).add("u3")
    assert Wishes(tmp_path).all() == ["zebra-user", "u2"]
    Wishes(tmp_path).end(["zebra-user"])
    assert Wishes(tmp_path).all() == ["u2"] and b"zebra" not in (tmp_path / WISHES_FILE_NAME).read_bytes()


def test_a_gateway_that_ends_ends_its_verbs_and_keeps_its_promises(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    (tmp_path / "rules.yaml").write_text(RULES)
    tried, users = RULES.replace("comedy", "drama"), [f"u{number}" for number in range(4)]
    given = [f"--rules={tmp_path / 'rules.yaml'}", f"--audit-dir={tmp_path / 'audit'}"]
    with toy.gateway(tmp_path, *given) as gateway:
        with Desk(gateway, tmp_path, str).browser() as browser:
            page = see(browser, "rules")
            press(browser, page, "try", kind="rules", current=version_of(RULES), text=tried)
            for user in users:
                press(browser, page, "forget", user=user, again=user)
        (verb,) = eventually(lambda: children(gateway.process.pid))
        begun = time.monotonic()
        gateway.stop()
        assert time.monotonic() - begun < GRACE_SECONDS and not pathlib.Path("/proc", verb).exists()
    assert not [*pathlib.Path(tempfile.gettempdir()).glob(f"homefeed-{gateway.process.pid}-*")]
    assert Wishes(tmp_path / "audit").all() == users
    with toy.gateway(tmp_path, *given) as gateway:
        eventually(lambda: users[0] not in Wishes(tmp_path / "audit").all(), seconds=60)
        gateway.stop()


def children(process: int) -> list[str]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True)
    return found.stdout.split()


def test_of_two_consoles_that_publish_at_once_the_second_is_told_what_changed(tmp_path: pathlib.Path) -> None:
    path, trail = tmp_path / "rules.yaml", Trail(tmp_path / "audit.sqlite")
    path.write_text("a: {}\n")
    trail.add("in force", "gateway", "rules", version=version_of("a: {}\n"), text="a: {}\n")
    desk, read = types.SimpleNamespace(home=types.SimpleNamespace(trail=trail)), version_of("a: {}\n")

    def publish(who: str) -> str:
        try:
            facts = {"version": version_of(f"{who}: {{}}\n"), "before": read, "text": f"{who}: {{}}\n"}
            policies._publish(desk, "rules", path, facts, who)
        except ConflictError as error:
            return str(error)
        return ""

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        with alone_in(tmp_path):
            told = [pool.submit(publish, who) for who in ("anna", "bao")]
            assert not concurrent.futures.wait(told, 0.3).done, "they wait for who is at work on the file"
        said = sorted(one.result() for one in told)
    winner = path.read_text().partition(":")[0]
    assert said[0] == "" and said[1] == (
        f"rules.yaml was changed by {winner}, and is {version_of(path.read_text())} now (-a: {{}}; +{winner}: {{}}): "
        "look at it and try again"
    )
    assert [one.who for one in trail.entries() if one.what == "publish"] == [winner]
