import pathlib

import pytest

from homefeed.components.artifacts.types import (
    Artifact,
    ArtifactError,
    Baseline,
    DatasetDir,
    ExampleAnomalies,
    Examples,
    ExampleStatistics,
    GateClosed,
    InfraBlessing,
    Model,
    ModelBlessing,
    PushedModel,
    digest_files,
)
from homefeed.schemas.dataset import DatasetError
from tests.components.ingested import events, write_dataset


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Artifact:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.txt").write_text("1")
    (tmp_path / "two.txt").write_text("2")
    return Artifact(tmp_path)


def test_a_digest_is_of_names_and_contents(folder: Artifact) -> None:
    before = folder.digest()
    assert folder.digest() == before
    (folder.path / "two.txt").write_text("3")
    changed = folder.digest()
    (folder.path / "two.txt").write_text("2")
    assert folder.digest() == before
    (folder.path / "two.txt").rename(folder.path / "three.txt")
    renamed = folder.digest()
    (folder.path / "three.txt").rename(folder.path / "a" / "two.txt")
    moved = folder.digest()
    assert len({before, changed, renamed, moved}) == 4


def test_contents_do_not_run_into_each_other(tmp_path: pathlib.Path) -> None:
    digests = set()
    for contents in (("12", "3"), ("1", "23"), ("123", "")):
        files = [tmp_path / name for name in ("a", "b")]
        for file, content in zip(files, contents, strict=True):
            file.write_text(content)
        digests.add(digest_files(tmp_path, files))
    assert len(digests) == 3


def test_a_table_beside_the_data_folder_counts(tmp_path: pathlib.Path) -> None:
    """As `homefeed init exports --out data` describes it."""
    log = tmp_path / "exports" / "log.csv"
    log.parent.mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/dataset.yaml").write_text(f"name: x\ninteractions: {{path: {log}}}")
    digests = set()
    for text in ("user_id,item_id,timestamp\n", "user_id,item_id,timestamp\nu,i,1\n"):
        log.write_text(text)
        digests.add(DatasetDir(tmp_path / "data").digest())
    assert len(digests) == 2


def test_a_folder_is_intact_as_long_as_it_is_there(tmp_path: pathlib.Path) -> None:
    assert Artifact(tmp_path).is_intact() and not Artifact(tmp_path / "gone").is_intact()


def test_json_has_equal_bytes_for_equal_values(tmp_path: pathlib.Path) -> None:
    one, other = Artifact(tmp_path / "one"), Artifact(tmp_path / "other")
    one.write_json("x.json", {"a": 1, "茶": [2, None]})
    other.write_json("x.json", {"茶": [2, None], "a": 1})
    assert (one.path / "x.json").read_bytes() == (other.path / "x.json").read_bytes()
    assert "茶" in (one.path / "x.json").read_text(encoding="utf-8")
    assert one.read_json("x.json") == {"a": 1, "茶": [2, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        one.write_json("x.json", float("nan"))


def test_a_missing_file_is_named_with_those_that_are_there(folder: Artifact) -> None:
    with pytest.raises(ArtifactError, match=r"Artifact at .* has no x.json; it holds a, two.txt"):
        folder.read_json("x.json")
    (folder.path / "empty").mkdir()
    with pytest.raises(ArtifactError, match="it holds nothing"):
        Artifact(folder.path / "empty").read_json("x.json")
    with pytest.raises(ArtifactError, match=r"Artifact is not at .*gone: .*`homefeed run` makes it again"):
        Artifact(folder.path / "gone").read_json("x.json")


def test_a_gate_is_open_until_there_is_a_reason(tmp_path: pathlib.Path) -> None:
    gate = ModelBlessing(tmp_path)
    gate.write_reasons([])
    assert gate.read_json("verdict.json") == {"open": True, "reasons": []}
    gate.require_open()
    gate.write_reasons(["worse than popularity", "slow"])
    assert gate.read_json("verdict.json")["open"] is False
    with pytest.raises(GateClosed, match=r"^ModelBlessing: worse than popularity; slow$") as closed:
        gate.require_open()
    assert (closed.value.gate, closed.value.reasons) == ("ModelBlessing", ("worse than popularity", "slow"))


def test_a_dataset_changes_with_its_tables_its_description_and_its_schemas(tmp_path: pathlib.Path) -> None:
    data = DatasetDir(write_dataset(tmp_path, events([("u1", "A", 1)])))
    found = [data.digest()]
    (tmp_path / "notes.txt").write_text("of no table")
    assert data.digest() == found[0] and data.curated_schemas() == []
    (tmp_path / "items.csv").write_text("item_id,title\nA,Apple\n")
    found.append(data.digest())
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "items.pbtxt").write_text("")
    found.append(data.digest())
    (tmp_path / "dataset.yaml").write_text((tmp_path / "dataset.yaml").read_text() + "max_bad_fraction: 0.5\n")
    found.append(data.digest())
    assert len(set(found)) == 4
    assert data.curated_schemas() == [tmp_path / "schema" / "items.pbtxt"]
    (tmp_path / "users.csv").unlink()
    with pytest.raises(DatasetError, match="'users': no file"):
        data.digest()


def test_a_baseline_is_a_file_or_a_folder(tmp_path: pathlib.Path) -> None:
    (tmp_path / "stats.pb").write_bytes(b"1")
    file, folder = Baseline(tmp_path / "stats.pb"), Baseline(tmp_path)
    before = file.digest(), folder.digest()
    (tmp_path / "other.pb").write_bytes(b"2")
    assert file.digest() == before[0] and folder.digest() != before[1]


def test_examples_know_their_splits_and_shards(tmp_path: pathlib.Path) -> None:
    examples = Examples(tmp_path)
    for shard in (1, 0):
        (tmp_path / "Split-train").mkdir(exist_ok=True)
        (tmp_path / "Split-train" / f"data-{shard:05d}-of-00002.gz").write_bytes(b"")
    (tmp_path / "Split-eval").mkdir()
    assert examples.splits == ["eval", "train"]
    assert [file.name[:10] for file in examples.split_files("train")] == ["data-00000", "data-00001"]
    assert examples.split_files("eval") == [] and examples.split_dir("new") == tmp_path / "Split-new"
    with pytest.raises(ArtifactError, match=r"No split 'test' in .*\. Splits there: eval, train\."):
        examples.split_files("test")
    with pytest.raises(ArtifactError, match=r"Splits there: none\."):
        Examples(tmp_path / "gone").split_files("test")


def test_examples_say_which_key_hid_their_users(tmp_path: pathlib.Path) -> None:
    assert Examples(tmp_path).user_key() == ""
    Examples(tmp_path).write_json(Examples.USER_KEY_FILE, "env:KEY")
    assert Examples(tmp_path).user_key() == "env:KEY"


def test_files_lie_where_tfx_has_them() -> None:
    root = pathlib.Path("root")
    assert ExampleStatistics(root).split_file("train") == root / "Split-train" / "FeatureStats.pb"
    assert ExampleAnomalies(root).split_file("items-all") == root / "Split-items-all" / "SchemaDiff.pb"
    assert Model(root).serving_dir == root / "Format-Serving" and Model(root).snapshot_dir == root / "Snapshot"
    assert InfraBlessing(root).warmup_file("ranking") == root / "warmup" / "ranking"


def test_what_was_pushed_moves_with_the_root_and_stays_where_it_lies_outside(tmp_path: pathlib.Path) -> None:
    root, outside = tmp_path / "old root", tmp_path / "elsewhere" / "ranking" / "3"
    inside = root / "serving" / "fused" / "3"
    for place in (inside, outside):
        place.mkdir(parents=True)
    PushedModel(root / ".staging" / "Pusher" / "key" / "pushed").write(3, [str(inside), str(outside), "s3://a/b/3"])
    (root / ".staging").rename(root / "artifacts")  # As a run publishes what has finished.
    pushed = PushedModel(root / "artifacts" / "Pusher" / "key" / "pushed")
    assert pushed.read_json(PushedModel.FILE)["paths"] == ["serving/fused/3", str(outside), "s3://a/b/3"]
    assert pushed.is_intact() and pushed.models() == {"fused": inside, "ranking": outside}
    digest = pushed.digest()
    root.rename(tmp_path / "new")
    moved = PushedModel(tmp_path / "new" / "artifacts" / "Pusher" / "key" / "pushed")
    assert moved.models() == {"fused": tmp_path / "new" / "serving" / "fused" / "3", "ranking": outside}
    assert moved.is_intact() and moved.digest() == digest
    assert not pushed.is_intact()
    moved.path.rename(tmp_path / "alone")
    assert not PushedModel(tmp_path / "alone").is_intact()


def test_what_was_pushed_is_found_where_it_is_now(tmp_path: pathlib.Path) -> None:
    pushed = PushedModel(tmp_path / "pushed")
    offered, file = tmp_path / "serving" / "ranking" / "3", tmp_path / "serving" / "profiles.sqlite"
    paths = [str(offered), str(file), "gs://shop/retrieval/3"]
    pushed.write_json(PushedModel.FILE, {"version": 3, "paths": paths})
    assert not pushed.is_intact()
    offered.mkdir(parents=True)
    file.write_bytes(b"")
    assert pushed.is_intact() and pushed.models() == {"ranking": offered}
    offered.rename(offered.with_name("3.retired"))
    assert pushed.is_intact() and pushed.models() == {"ranking": offered.with_name("3.retired")}
    file.unlink()
    assert not pushed.is_intact()
