import dataclasses
import json
import pathlib
import tempfile

import pyarrow.parquet as pq
import pytest

from homefeed.components import bulk_inferrer
from homefeed.components.artifacts.types import GateClosed, InferenceResult, Model
from homefeed.components.beam.errors import BeamError
from homefeed.components.bulk_inferrer.component import work_folder
from tests.toy_artifacts import cut, open_gates, transformed_examples
from tests.toy_data import toy_catalogue
from tests.toy_models import counts_order


@pytest.fixture
def inputs(tmp_path: pathlib.Path, toy_models: dict[str, pathlib.Path]) -> bulk_inferrer.Inputs:
    tables = transformed_examples(tmp_path, lurker="用户")
    for table in tables[1:]:
        cut(table, 2)
    gates = open_gates(tmp_path)
    return bulk_inferrer.Inputs(*tables, Model(toy_models["fused"]), *gates)


def folder(
    inputs: bulk_inferrer.Inputs,
    config: bulk_inferrer.Config,
    num_shards: int = 2,
    root: pathlib.Path = pathlib.Path("root"),
) -> pathlib.Path:
    return work_folder(inputs, bulk_inferrer.Outputs(InferenceResult(root)), config, num_shards)


def infer(inputs: bulk_inferrer.Inputs, tmp_path: pathlib.Path, **config: object) -> tuple[pathlib.Path, str]:
    out = tmp_path / "out"
    chosen = bulk_inferrer.Config(work_dir=str(tmp_path / "work"), **config)
    summary = bulk_inferrer.run(inputs, bulk_inferrer.Outputs(InferenceResult(out)), chosen)
    return out, summary


def test_every_user_gets_what_is_best_and_new_in_both_formats(
    inputs: bulk_inferrer.Inputs, tmp_path: pathlib.Path
) -> None:
    out, summary = infer(inputs, tmp_path, k=3)
    assert summary.startswith("4 users")
    names = ["shard-00000-of-00002", "shard-00001-of-00002"]
    assert sorted(path.name for path in out.iterdir()) == [f"{n}{s}" for n in names for s in (".jsonl", ".parquet")]
    lines = [json.loads(line) for name in names for line in (out / f"{name}.jsonl").read_text("utf-8").splitlines()]
    rows = [row for name in names for row in pq.read_table(out / f"{name}.parquet").to_pylist()]
    assert rows == lines
    assert sorted(row["user_id"] for row in rows) == ["u0", "u1", "u2", "用户"]
    rarest_first = counts_order(toy_catalogue())[::-1]  # ToyRanking turns retrieval's order round.
    histories = {"u0": 3, "u1": 4, "u2": 5, "用户": 0}
    for row in rows:
        # User n of the toys had n + 3 items, from item n + 1 on.
        start = int(row["user_id"][1]) if row["user_id"] != "用户" else 0
        had = {f"i{(start + place) % 7 + 1}" for place in range(histories[row["user_id"]])}
        assert row["items"] == [item for item in rarest_first if item not in had][:3]
        assert row["scores"] == sorted(row["scores"], reverse=True)


def test_what_lies_there_of_another_cut_does_not_go_out(inputs: bulk_inferrer.Inputs, tmp_path: pathlib.Path) -> None:
    config = bulk_inferrer.Config(work_dir=str(tmp_path / "work"))
    assert folder(inputs, config, num_shards=1) != folder(inputs, config, num_shards=2)
    (folder(inputs, config, num_shards=2) / "shard-00000-of-00003.parquet").write_bytes(b"of before")
    out, _ = infer(inputs, tmp_path)
    assert len(list(out.iterdir())) == 4 and not list((tmp_path / "work").glob("*/*of-00002*"))


def test_another_model_or_k_does_not_go_on_with_what_lies_there(
    inputs: bulk_inferrer.Inputs, tmp_path: pathlib.Path, toy_models: dict[str, pathlib.Path]
) -> None:
    config = bulk_inferrer.Config(work_dir=str(tmp_path))
    other = dataclasses.replace(inputs, fused_model=Model(toy_models["ranking"]))
    folders = [
        folder(inputs, config),
        folder(inputs, dataclasses.replace(config, k=3)),
        folder(other, config),
    ]
    assert len(set(folders)) == 3
    assert folder(inputs, config) == folders[0]


def test_among_temporary_files_the_folder_is_for_its_user_alone(
    inputs: bulk_inferrer.Inputs, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = folder(inputs, bulk_inferrer.Config())
    assert found.stat().st_mode & 0o077 == 0
    found.rmdir()
    found.symlink_to(tmp_path)
    with pytest.raises(BeamError, match=rf"{found.name} is somebody else's: remove it, or .* `work_dir`"):
        folder(inputs, bulk_inferrer.Config())
    found.unlink()
    mine = folder(inputs, bulk_inferrer.Config()).stat().st_uid
    monkeypatch.setattr("os.getuid", lambda: mine + 1)
    with pytest.raises(BeamError, match="is somebody else's"):
        folder(inputs, bulk_inferrer.Config())


def test_two_roots_at_the_same_work_do_not_share_a_folder_among_temporary_files(
    inputs: bulk_inferrer.Inputs, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first to end would remove what the other one writes; a `work_dir` is shared on purpose."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for work_dir, shared in (("", False), (str(tmp_path / "work"), True)):
        config = bulk_inferrer.Config(work_dir=work_dir)
        mine, theirs = (folder(inputs, config, root=tmp_path / name) for name in ("mine", "theirs"))
        assert (mine == theirs) == shared
        assert folder(inputs, config, root=tmp_path / "mine") == mine


def test_a_refused_model_recommends_nothing(inputs: bulk_inferrer.Inputs, tmp_path: pathlib.Path) -> None:
    inputs.blessing.write_reasons(["worse than popularity"])
    with pytest.raises(GateClosed, match="worse than popularity"):
        infer(inputs, tmp_path)
    assert not (tmp_path / "out").exists()
