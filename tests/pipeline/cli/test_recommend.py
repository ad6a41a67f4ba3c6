"""What `homefeed recommend` says beside the list."""

import json
import pathlib
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator

import pytest

from homefeed.serving.process import model_server
from homefeed.serving.profiles import FILE_NAME, ProfileStore
from tests.pipeline.command import homefeed


@pytest.fixture(scope="module")
def address(sample_root: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    serving = sample_root / "serving"
    models = {name: serving / name for name in ("retrieval", "ranking", "fused")}
    with model_server(models, tmp_path_factory.mktemp("server")) as address:
        yield address


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, list[dict[str, str]]]:
    assert homefeed("recommend", *arguments, "--json") == 0
    found: dict[str, list[dict[str, str]]] = json.loads(capsys.readouterr().out)
    return found


def test_the_table_shows_what_it_is_sorted_by_and_the_history_apart(
    sample_root: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homefeed.pipeline.cli.recommend.console.width", 200)
    assert homefeed("recommend", "--root", str(sample_root), "--user", "user-0001", "-k", "4") == 0
    said = capsys.readouterr()
    lines = [line for line in said.out.splitlines() if line.startswith("│")]
    scores = [float(line.split("│")[3]) for line in lines]
    assert len(scores) == 4 and scores == sorted(scores, reverse=True)
    profiles = ProfileStore(sample_root / "serving" / FILE_NAME)
    newest = profiles.titles([profiles.get("user-0001").history[-1].item_id])[0]
    (history,) = [line for line in said.out.splitlines() if line.startswith("History, newest first: ")]
    assert history.startswith(f"History, newest first: {newest}") and "from: history" in said.out
    titles = history.removeprefix("History, newest first: ").split(" · ")
    because = [line.split("│")[5].strip() for line in lines]
    assert set(because) <= {*titles, "history"} and set(because) & set(titles)
    assert said.err == ""


def test_a_user_of_whom_nothing_is_known_is_said(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(capsys, "--server", address, "--user", "user-0001")
    assert {place["source"] for place in found["recommendations"]} == {"popular"}
    assert found["notes"] == [
        "nothing is known of user 'user-0001': --root has profiles, --history tells what they did; "
        "this is what is popular"
    ]
    assert homefeed("recommend", "--server", address, "--user", "user-0001") == 0
    assert capsys.readouterr().err == f"note: {found['notes'][0]}\n"


def test_items_that_the_models_do_not_know_are_named(
    sample_root: pathlib.Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--user", "nobody", "--history", "item-0003,nope,item-0004")
    for place in (("--root", str(sample_root)), ("--server", address)):
        found = asked(capsys, *arguments, *place)
        assert found["notes"] == ["the models do not know 'nope' of the history"]
        assert {"item-0003", "item-0004"} >= {place["because_of"] for place in found["recommendations"]} - {None}


def test_a_query_that_finds_nothing_is_said(sample_root: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--root", str(sample_root), "--user", "user-0001")
    found = asked(capsys, *arguments, "--query", "☃☃☃")
    assert found["notes"] == ["no item has a word of the query '☃☃☃'; the list is made from history"]
    title = found["recommendations"][0]["title"]
    found = asked(capsys, *arguments, "--query", title)
    assert found["notes"] == [] and found["recommendations"][0]["source"] == "history+query"


def test_a_root_and_a_server_of_other_models_are_not_mixed(
    sample_root: pathlib.Path, address: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--server", address, "--user", "user-0001")
    assert asked(capsys, *arguments, "--root", str(sample_root))["notes"] == []
    (tmp_path / "serving").mkdir()
    store = shutil.copy(sample_root / "serving" / FILE_NAME, tmp_path / "serving")
    with sqlite3.connect(store) as database:
        database.execute("UPDATE items SET title = 'of another shop'")
    assert homefeed("recommend", *arguments, "--root", str(tmp_path)) == 1
    said = capsys.readouterr().err
    assert f"the server at {address} does not serve the models of {tmp_path}: item '" in said
    assert "'of another shop' here" in said and said.count("\n") == 1


def test_a_server_that_is_down_is_said_within_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as probe:  # Bound, and nobody listens.
        probe.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{probe.getsockname()[1]}"
        started = time.monotonic()
        assert homefeed("recommend", "--server", server, "--user", "u", "--wait", "1") == 1
        assert time.monotonic() - started < 10
    said = capsys.readouterr().err
    assert said.startswith(f"ServerError: no model server answers at {server}") and said.count("\n") == 1
