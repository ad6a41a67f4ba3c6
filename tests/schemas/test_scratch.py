import os
import pathlib
import tempfile

import pytest

from homefeed.schemas import scratch


@pytest.fixture(autouse=True)
def temporary(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_dead_process_left_goes_and_what_a_living_one_has_stays(temporary: pathlib.Path) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    names = [
        f"homefeed-{child}-a",
        f"homefeed-{os.getpid()}-b",
        "homefeed-1-c",
        "homefeed-bulk-12",
        f"other-{child}-d",
    ]
    for name in names:
        (temporary / name / "deep").mkdir(parents=True)
    assert [path.name for path in scratch.abandoned()] == names[:1]
    with scratch.scratch() as folder:
        assert folder.is_dir() and sorted(names[1:]) == sorted(p.name for p in temporary.iterdir() if p != folder)
    assert not folder.exists()


def test_nothing_that_was_staged_stays(temporary: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, young = (temporary / f".{digit * 32}.tmp" for digit in "ab")
    old.write_text("killed")
    monkeypatch.setattr(scratch, "STALE_SECONDS", -1)
    with scratch.staged(temporary) as place:
        assert not old.exists()
        place.mkdir()
        monkeypatch.undo()
        young.write_text("somebody else is at it")
        with pytest.raises(OSError, match="full"), scratch.staged(temporary) as other:
            other.write_text("half")
            raise OSError("the disk is full")
    assert list(temporary.iterdir()) == [young]


def test_a_file_is_replaced_at_the_end_or_not_at_all(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), scratch.replacing(path) as place:
        place.write_text("half")
        raise OSError("the disk is full")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with scratch.replacing(path) as place:
        place.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]
