"""`homefeed doctor`: each fault is found, and said with what mends it."""

from __future__ import annotations

import pathlib
import socket
import sqlite3

import pytest

from homefeed.pipeline.datasets.init import describe
from homefeed.pipeline.doctor import Finding, examine
from homefeed.pipeline.runner.root import RunRoot
from tests.pipeline.datasets.init import strangers


def by_subject(found: list[Finding]) -> dict[str, Finding]:
    return {one.subject: one for one in found}


def test_this_machine_can_run_it_and_data_are_read(tmp_path: pathlib.Path) -> None:
    folder = strangers.write("nested", tmp_path)
    describe([folder], folder)
    found = by_subject(examine(folder, None))
    assert {found[name].verdict for name in ("Python", "packages", "data")} == {"ok"}
    assert found["data"].told.startswith("interactions: 1 files, ")


def test_faults_of_data_and_root_are_said_with_what_mends_them(tmp_path: pathlib.Path) -> None:
    root = RunRoot(tmp_path / "root")
    root.serving.mkdir(parents=True)
    with sqlite3.connect(root.profiles) as database:
        database.executescript("CREATE TABLE t (x); INSERT INTO t SELECT 'x' FROM json_each('[1,2,3]');")
    database.close()
    root.metadata.write_bytes(b"SQLite format 3\0" + bytes(200))
    live = root.serving / "live.sqlite"
    live.write_bytes(root.profiles.read_bytes()[:4096] + b"\xff" * 4096)
    found = by_subject(examine(tmp_path, root.path))
    assert "dataset.yaml does not exist" in found["data"].told and found["data"].verdict == "fault"
    assert "`homefeed run` pushes them" in found["models"].told
    assert found["profiles.sqlite"].verdict == "ok"
    assert (
        found["metadata.sqlite"].verdict == "fault"
        and "`homefeed run` makes it anew" in found["metadata.sqlite"].told
    )
    assert found["live.sqlite"].verdict == "fault" and "restore it from a copy" in found["live.sqlite"].told


def test_a_busy_port_and_a_lacking_package_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.requires", lambda _: ["numpy<1", "no-such-package>=2", "x; extra == 'y'"])
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        monkeypatch.setattr("homefeed.pipeline.doctor.PORTS", {port: "a server"})
        found = by_subject(examine(None, None))
    assert found[f"port {port}"].verdict == "note"
    assert "numpy is " in found["packages"].told and "no-such-package is not installed" in found["packages"].told
