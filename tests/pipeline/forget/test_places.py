"""Everywhere that a run leaves a person, searched byte by byte."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from homefeed.components.artifacts.types import PushedModel
from homefeed.pipeline.forget import forget
from homefeed.pipeline.forget.files import content
from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.local_runner import locked
from homefeed.pipeline.runner.root import RunRoot
from tests.pipeline.command import homefeed
from tests.runs import run_small

KILLED = """
import os, pathlib, sys
from homefeed.schemas.scratch import scratch, staged
with scratch() as folder, staged(pathlib.Path(sys.argv[1])) as half:
    for place in (folder, half):
        place.mkdir(exist_ok=True)
        (place / "rows.arrow").write_text(sys.argv[2])
    os.kill(os.getpid(), 9)
"""


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """In place of the system's folder for temporary files."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("temporary")
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("TMPDIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def everything(
    sample_data: pathlib.Path, temporary: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """A run that served and recorded elsewhere; below it `data`, `root`, `served`, `metadata.sqlite`."""
    folder = tmp_path_factory.mktemp("everything")
    shutil.copytree(sample_data, folder / "data")
    settings = (f"pusher.serving_dir={folder / 'served'}", f"bulk_inferrer.work_dir={folder / 'work'}")
    run_small(folder / "data", folder / "root", *settings, metadata=str(folder / "metadata.sqlite"))
    return folder


def leave_traces(user: str, everything: pathlib.Path, temporary: pathlib.Path) -> None:
    """What a killed run, a killed push and a BulkInferrer that is to go on leave."""
    for place in (everything / "served" / "fused", everything / "root"):
        subprocess.run([sys.executable, "-c", KILLED, str(place), user], check=False)
    for place in (temporary, everything / "work"):
        (place / "homefeed-bulk-0123").mkdir(parents=True, exist_ok=True)
        (place / "homefeed-bulk-0123" / "shard.jsonl").write_text(f'{{"user_id": "{user}", "items": ["i1"]}}\n')
        for left in (f".{'0' * 32}.tmp", ".shard-00001-of-00002.requests"):  # The latter by an earlier version.
            (place / "homefeed-bulk-0123" / left).write_text(f'{{"user_id": "{user}"}}')
    (everything / "root" / ".staging" / "half").mkdir(parents=True, exist_ok=True)
    (everything / "root" / ".staging" / "half" / "profiles.sqlite").write_bytes(user.encode())


def places_of(user: str, *folders: pathlib.Path) -> set[str]:
    """The folders below which the id is found in a file, unpacked."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).parts[0] if folder != path.parent else path.name
        for path in files
        for folder in folders
        if path.is_relative_to(folder) and user.encode() in content(path)
    }


@pytest.mark.parametrize(("user", "is_relative"), [("user-0007", True), ("user-0011", False)])
def test_nothing_of_a_person_is_left_anywhere(
    everything: pathlib.Path,
    temporary: pathlib.Path,
    user: str,
    is_relative: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    leave_traces(user, everything, temporary)
    assert {"data", "root", "served", "work"} <= places_of(user, everything)
    assert len(places_of(user, temporary)) == 2  # Of a bulk, and of one killed process: it swept what the first left.
    monkeypatch.chdir(everything)
    data, root, metadata = (
        name if is_relative else str(everything / name) for name in ("data", "root", "metadata.sqlite")
    )
    assert homefeed("forget", user, "--data", data, "--root", root, "--metadata", metadata) == 0
    assert places_of(user, everything, temporary) == set()
    said = " ".join(capsys.readouterr().out.split())
    for component in ("RetrievalTrainer", "RankingTrainer", "BehaviorPretrainer", "Fuser"):
        assert f"{component}/" in said.partition("trained with this person")[2]


def test_a_place_that_cannot_be_searched_is_named(tmp_path: pathlib.Path) -> None:
    PushedModel(tmp_path).write_json(PushedModel.FILE, {"version": 1, "paths": ["s3://shop/profiles.sqlite"]})
    assert forget("zebra-user", root=tmp_path).traces == ["s3://shop/profiles.sqlite (not searched)"]


def test_a_root_that_is_not_there_or_in_use(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RunError, match=r"there is no root .*nowhere"):
        forget("zebra-user", root=tmp_path / "nowhere")
    with locked(RunRoot(tmp_path).lock, "test"), pytest.raises(RunError, match="a run is using"):
        forget("zebra-user", root=tmp_path)
