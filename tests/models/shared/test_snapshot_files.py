import pathlib
from typing import Any

import numpy as np
import pydantic
import pytest

from homefeed.models.shared import snapshot_files

FACTS = pydantic.TypeAdapter(dict[str, int])


def test_facts_and_arrays_come_back(tmp_path: pathlib.Path) -> None:
    arrays: dict[str, Any] = {"a.x": np.arange(3), "a/y": np.float32([[1.5]]), "empty": np.empty((0, 2))}
    snapshot_files.save(tmp_path / "new" / "folder", FACTS.dump_json({"片": 1}), arrays)
    facts, loaded = snapshot_files.load(tmp_path / "new" / "folder", "ranking")
    assert snapshot_files.read_facts(FACTS, facts, tmp_path) == {"片": 1}
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype


@pytest.mark.parametrize(("model", "trainer"), [("ranking", "RankingTrainer"), ("retrieval", "RetrievalTrainer")])
def test_a_folder_without_one_says_who_writes_it(tmp_path: pathlib.Path, model: str, trainer: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"no snapshot of a {model} model, which {trainer} writes"):
        snapshot_files.load(tmp_path, model)


def test_facts_of_another_version_are_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=rf"model in {tmp_path} was written by another version .*\(size is not"):
        snapshot_files.read_facts(FACTS, b'{"size": "large"}', tmp_path)


def test_groups_of_arrays_share_a_file() -> None:
    groups = snapshot_files.prefixed("query.", {"a": np.zeros(1)}) | snapshot_files.prefixed("q.", {"a": np.ones(1)})
    assert groups.keys() == {"query.a", "q.a"}
    assert snapshot_files.with_prefix("q.", groups)["a"].tolist() == [1.0]
    assert snapshot_files.with_prefix("query.", groups).keys() == {"a"}
