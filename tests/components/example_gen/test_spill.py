import pathlib

import pytest

from homefeed.components.example_gen import spill
from tests.components.ingested import digests, events, ingest, write_dataset


def test_the_folder_between_the_steps_is_gone_at_the_end_even_of_a_failed_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = tmp_path / "between"
    between.mkdir()
    data = write_dataset(tmp_path / "data", events([("u1", "A", 1), ("u2", "B", 2)]))
    ingest(data, tmp_path / "here")
    ingest(data, tmp_path / "there", temp_dir=str(between))
    assert digests(tmp_path / "here") == digests(tmp_path / "there") and not any(between.iterdir())

    def full(source: str, target: str) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(spill, "copy", full)
    with pytest.raises(Exception, match="no space left"):
        ingest(data, tmp_path / "failed", temp_dir=str(between))
    assert not any(between.iterdir())
