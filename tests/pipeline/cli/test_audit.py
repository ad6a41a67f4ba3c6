"""`homefeed audit`: the trail and the pages together, newest first, by time, page, user and kind."""

from __future__ import annotations

import json
import pathlib

import orjson
import pytest

from homefeed.schemas.privacy import pseudonym
from homefeed.serving.audit import Trail
from homefeed.serving.profiles import FILE_NAME, Exposure, write_profiles
from homefeed.serving.profiles.store import LIVE_FILE_NAME, LiveStore
from tests.pipeline.command import homefeed

KEY = "a secret of 16 bytes or more"


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A promotion and reasons now, and two pages of 1970, one of them of `mara`."""
    serving = tmp_path / "serving"
    serving.mkdir()
    (tmp_path / "key").write_text(KEY)
    write_profiles(serving / FILE_NAME, [], {}, f"file:{tmp_path / 'key'}", {})
    mara = pseudonym("mara", KEY.encode())
    store = LiveStore(serving / LIVE_FILE_NAME)
    for number, user in enumerate((mara, "other")):
        page = orjson.dumps({"surface": "home", "rules_version": "abc", "arms": {}, "query": "[red]"})
        store.record(Exposure(f"p{number}", user, "", 1_000_000 * (number + 1), page)).result()
    store.close()
    Trail.beside(serving).add("promote", "anna", subject="3", before=2)
    Trail.beside(serving).add("why", "reader", subject="i1", user_id=mara, impression_id="p0")
    return tmp_path


def listed(capsys: pytest.CaptureFixture[str], root: pathlib.Path, *options: str) -> list[str]:
    assert homefeed("audit", "--root", str(root), "--json", *options) == 0
    return [f"{one['what']} {one['subject'] or one['impression_id']}" for one in json.loads(capsys.readouterr().out)]


def test_it_lists_by_kind_time_page_and_user(root: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, root) == ["why i1", "promote 3"]
    assert listed(capsys, root, "--what", "page") == ["page p1", "page p0"]
    assert listed(capsys, root, "--what", "page", "--until", "1970-01-01T00:20:00") == ["page p0"]
    assert listed(capsys, root, "--what", "page", "--what", "promote", "--limit", "2") == ["promote 3", "page p1"]
    assert listed(capsys, root, "--page", "p0") == ["why i1", "page p0"]
    for name in ("mara", pseudonym("mara", KEY.encode())):
        assert listed(capsys, root, "--user", name) == ["why i1", "page p0"]
    assert listed(capsys, root, "--until", "2000-01-01") == []


def test_it_lists_what_gateways_wrote_elsewhere(root: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    Trail.beside(root / "audit").add("publish", "olga", subject="rules")
    assert listed(capsys, root, "--audit-dir", str(root / "audit")) == ["publish rules", "why i1", "promote 3"]
    assert listed(capsys, root, "--audit-dir", str(root / "serving")) == ["why i1", "promote 3"]
    assert homefeed("audit", "--root", str(root), "--audit-dir", str(root / "absent")) == 2


def test_a_table_shows_what_was_in_force(root: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert homefeed("audit", "--root", str(root), "--page", "p1") == 0
    said = capsys.readouterr().out
    assert "abc" in said
    assert "[red]" in said
