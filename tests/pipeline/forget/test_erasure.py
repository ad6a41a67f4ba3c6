from __future__ import annotations

import gzip
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homefeed.components import statistics_gen
from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import Examples, ExampleStatistics
from homefeed.models.requests import Event, Request
from homefeed.pipeline.forget import forget
from homefeed.pipeline.forget.files import content
from homefeed.pipeline.runner.metadata import MetadataStore, Run
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas.columns import TABLES
from homefeed.serving.audit import Trail, Wanted
from homefeed.serving.feedback.layout import STAGING
from homefeed.serving.feedback.seal import seal
from homefeed.serving.profiles import Exposure, LiveEvent, LiveStore, ProfileStore, write_profiles
from homefeed.serving.profiles.wishes import Wishes
from tests.components.ingested import DESCRIPTION, events, histories, ingest, write_dataset
from tests.serving.feedback import shop

USERS = "user_id\nzebra-user\nother-user\n"
ROWS = [(user, item, n) for n, item in enumerate("ABCABC") for user in ("zebra-user", "other-user")]


RELATED = "relations: {path: relations.csv}\n"


def traces(name: str, folder: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and name.encode() in content(path)]


def everything_about(user: str, tmp_path: pathlib.Path, **config: str) -> tuple[pathlib.Path, pathlib.Path]:
    """A data folder and a root, as a run leaves them."""
    text = events(ROWS) + "zebra-user,A,soon\nother-user,A,soon\n" + 'other-user,"A\nB",7\n'
    data = write_dataset(tmp_path / "data", text, users=USERS)
    (data / "dataset.yaml").write_text(
        DESCRIPTION + "max_bad_fraction: 0.5\nexposures: {path: exposures.csv}\n" + RELATED
    )
    (data / "relations.csv").write_text(f"user_id,other_id\n{user},other-user\nother-user,{user}\nother-user,third\n")
    shown = "".join(f"p{n},{user},{item},{n},1\n" for user, item, n in ROWS)
    (data / "exposures.csv").write_text(f"impression_id,user_id,item_id,timestamp,clicked\n{shown}")
    root = tmp_path / "root"
    examples = ingest(data, root / "examples", split="leave_one_out", **config)
    statistics = [ExampleStatistics(root / "statistics" / table) for table in TABLES]
    statistics_gen.run(
        statistics_gen.Inputs(examples.interactions, examples.items, examples.users),
        statistics_gen.Outputs(*statistics),
        statistics_gen.Config(),
    )
    (root / "serving").mkdir()
    profiles = [Request(name, [Event("A")], {}) for name in (user, "other-user")]
    related = [(user, "other-user"), ("other-user", user), ("other-user", "third")]
    write_profiles(root / "serving" / "profiles.sqlite", profiles, {"A": "Apple"}, relations=related)
    (root / "report.html").write_text(f"<p>{user} is new</p>")
    return data, root


def test_no_trace_is_left(tmp_path: pathlib.Path) -> None:
    data, root = everything_about("zebra-user", tmp_path)
    assert len(traces("zebra-user", tmp_path)) > 8
    done = forget("zebra-user", data, root)
    assert done.traces == []
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        assert b"zebra-user" not in content, path
    assert done.removed[str(data / "interactions.csv")] == 7
    assert done.removed[str(data / "users.csv")] == 1
    assert done.removed[str(data / "exposures.csv")] == 6
    assert not (root / "report.html").exists()
    # The other one is still there, whole.
    lines = (data / "interactions.csv").read_text().splitlines()
    assert lines[0] == "user_id,item_id,timestamp" and lines[-3:] == ["other-user,A,soon", 'other-user,"A', 'B",7']
    assert len(lines) == 1 + 6 + 3
    interactions = Examples(root / "examples" / "interactions")
    assert histories(interactions, "train") == {"other-user": ["A", "B", "C", "A", "B"]}
    store = ProfileStore(root / "serving" / "profiles.sqlite")
    assert list(store.user_ids()) == ["other-user"] and store.others("other-user") == ["third"]
    assert (data / "relations.csv").read_text() == "user_id,other_id\nother-user,third\n"
    assert example_io.read_split(Examples(root / "examples" / "relations"), "all").num_rows == 1
    again = forget("zebra-user", data, root)
    assert again.removed == {} and again.models == []


def test_files_beside_the_tables_lose_them_and_nobody_else(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path / "data", events(ROWS), users=USERS)
    told = {
        "users": {"user_id": ["other-user", "zebra-user"], "taste": [[1, 2], [3, 4]], "shares": [0.5]},
        "friends": {"zebra-user": ["other-user"], "other-user": ["zebra-user", "zebra-user-2"]},
        "notes": [{"user_id": "zebra-user", "text": "x"}, {"user_id": "other-user", "text": "y"}],
    }
    (data / "truth.json").write_text(json.dumps(told))
    (data / "broken.json").write_text("{zebra-user")
    done = forget("zebra-user", data)
    assert json.loads((data / "truth.json").read_text()) == {
        "users": {"user_id": ["other-user"], "taste": [[1, 2]], "shares": [0.5]},
        "friends": {"other-user": ["zebra-user-2"]},
        "notes": [{"user_id": "other-user", "text": "y"}],
    }
    assert done.removed[str(data / "truth.json")] == 4  # A row, a friend, a friend of another, and a note.
    assert done.traces == [str(data / "broken.json")]


def test_pseudonyms_are_forgotten_too(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from homefeed.schemas.privacy import pseudonym

    monkeypatch.setenv("USER_KEY", "0123456789abcdef")
    name = pseudonym("zebra-user", b"0123456789abcdef")
    data, root = everything_about(name, tmp_path, user_key="env:USER_KEY")
    assert not traces("0123456789abcdef", tmp_path)  # The key is nowhere.
    assert len(traces(name, root)) >= 4
    assert forget("zebra-user", data, root).traces == []  # The runs say where the key is.
    assert not traces(name, tmp_path) and not traces("zebra-user", tmp_path)


def test_the_live_store_of_a_running_gateway_is_reached(tmp_path: pathlib.Path) -> None:
    (tmp_path / "serving").mkdir()
    live = LiveStore(tmp_path / "serving" / "live.sqlite")
    for n, user in enumerate(["zebra-user", "other-user"]):
        live.append([LiveEvent(f"{n}", user, "like", 1_700_000_000, item_id="A", tags=("zebra",))]).result()
        live.record(Exposure(f"page-{n}", user, "", 1_700_000_000_000, b"{}")).result()
    assert traces("zebra-user", tmp_path)
    done = forget("zebra-user", root=tmp_path)
    assert done.traces == [] and list(done.removed.values()) == [3]  # An event, a profile, a page.
    assert not traces("zebra-user", tmp_path)  # Nor in the write-ahead log.
    assert live.profile("zebra-user").version == 0 and live.profile("other-user").version == 1
    assert live.append([LiveEvent("2", "other-user", "like", 1_700_000_001, item_id="B")]).result()[0].version == 2
    live.close()
    assert not traces("zebra-user", tmp_path)


def test_the_trail_and_the_promises_of_gateways_that_have_them_elsewhere_are_reached(tmp_path: pathlib.Path) -> None:
    root, audit_dir = tmp_path / "root", tmp_path / "audit"
    (root / "serving").mkdir(parents=True)
    trail = Trail.beside(audit_dir)
    for user in ("zebra-user", "other-user"):
        trail.add("look", "anna", user_id=user)
        Wishes(audit_dir).add(user)
    done = forget("zebra-user", root=root, audit_dir=audit_dir)
    assert done.traces == [] and not traces("zebra-user", tmp_path)
    assert [(one.what, one.user_id) for one in trail.entries()][1:] == [("look", "other-user")]
    assert [one.what for one in trail.entries(Wanted(users=["zebra-user"]))] == ["forget"]
    assert Wishes(audit_dir).all() == ["other-user"]


def test_models_trained_with_the_person_are_named(tmp_path: pathlib.Path) -> None:
    from homefeed.components.artifacts.types import Model

    data, root = everything_about("zebra-user", tmp_path)
    store = MetadataStore(RunRoot(root))
    examples = Examples(root / "examples" / "interactions")
    for name, source in (("with", examples), ("without", Examples(tmp_path / "elsewhere"))):
        run = Run("Trainer", name, {"summary": "", "finished_at": ""})
        model = Model(root / name)
        store.record(run, "p", {"examples": (source, "d")}, {"model": (model, "d")})
    assert forget("zebra-user", data, root).models == [str(root / "with")]


def test_ids_that_contain_the_id_stay(tmp_path: pathlib.Path) -> None:
    rows = [(user, item, n) for n, item in enumerate("ABCABC") for user in ("shopper-1", "shopper-12")]
    data = write_dataset(tmp_path / "data", events(rows), users="user_id\nshopper-1\nshopper-12\n")
    examples = ingest(data, tmp_path / "root" / "examples", split="leave_one_out")
    (tmp_path / "root" / "metrics.json").write_text('{"worst": "shopper-12"}')
    assert forget("shopper-1", data, tmp_path / "root").traces == []
    assert (tmp_path / "root" / "metrics.json").exists()
    assert histories(examples.interactions, "train") == {"shopper-12": ["A", "B", "C", "A"]}


def test_a_short_id_is_removed_where_it_is_a_whole_user_id(tmp_path: pathlib.Path) -> None:
    rows = [(user, item, n) for n, item in enumerate(("17", "B", "17", "D", "E")) for user in ("17", "170")]
    text = events(rows) + "17,B,soon\n170,B,soon\n"
    data = write_dataset(
        tmp_path / "data", text, "item_id,title\n17,Seventeen\nB,b\nD,d\nE,e\n", "user_id\n17\n170\n"
    )
    (data / "dataset.yaml").write_text(DESCRIPTION + "max_bad_fraction: 0.5\n")
    root = tmp_path / "root"
    examples = ingest(data, root / "examples", split="leave_one_out")
    (root / "feedback.jsonl").write_text('{"user_id": "17", "item_id": "B"}\n{"user_id": "170", "item_id": "17"}\n')
    write_profiles(
        root / "profiles.sqlite", [Request("17", [Event("B")]), Request("170", [Event("17")])], {"17": "S"}
    )
    forget("17", data, root)
    assert (data / "interactions.csv").read_text().splitlines()[1:] == [
        *(f"170,{item},{n}" for n, item in enumerate(("17", "B", "17", "D", "E"))),
        "170,B,soon",
    ]
    assert histories(examples.interactions, "train") == {"170": ["17", "B", "17"]}
    assert (root / "feedback.jsonl").read_text() == '{"user_id": "170", "item_id": "17"}\n'
    assert '"raw": "170,B,soon"' in (root / "examples" / "q" / "interactions.jsonl").read_text()
    store = ProfileStore(root / "profiles.sqlite")
    assert (list(store.user_ids()), store.titles(["17"])) == (["170"], ["S"])


def test_other_formats(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path, "", description=DESCRIPTION)
    description = DESCRIPTION.replace("interactions.csv", "log.csv.gz").replace("users.csv", "users.parquet")
    (data / "dataset.yaml").write_text(description)
    (data / "log.csv.gz").write_bytes(gzip.compress(events(ROWS).encode()))
    pq.write_table(pa.table({"user_id": ["zebra-user", "other-user"]}), data / "users.parquet")
    done = forget("zebra-user", data)
    assert sorted(done.removed.values()) == [1, 6]
    assert gzip.decompress((data / "log.csv.gz").read_bytes()).decode() == events(ROWS[1::2])
    assert pq.read_table(data / "users.parquet").to_pydict() == {"user_id": ["other-user"]}


@pytest.mark.parametrize(
    ("options", "encoding", "header"),
    [
        ("encoding: utf-16", "utf-16", "user_id,item_id,timestamp"),
        ("encoding: gb18030, delimiter: ';'", "gb18030", "user_id;item_id;timestamp"),
        ("header: [user_id, item_id, timestamp]", "utf-8", ""),
    ],
)
def test_a_table_stays_as_it_was_written(tmp_path: pathlib.Path, options: str, encoding: str, header: str) -> None:
    between = ";" if ";" in header else ","
    rows = [(user, f"物品{item}", n) for user, item, n in ROWS]
    lines = [header] * bool(header) + [between.join(map(str, row)) for row in rows]
    description = DESCRIPTION.replace("interactions.csv", f"interactions.csv, {options}")
    data = write_dataset(tmp_path, "\n".join(lines).encode(encoding), users=USERS, description=description)
    assert forget("zebra-user", data).removed[str(data / "interactions.csv")] == 6
    kept = [line for line in lines if "zebra" not in line]
    assert (data / "interactions.csv").read_bytes().decode(encoding).splitlines() == kept


def test_partitions_and_events_alone(tmp_path: pathlib.Path) -> None:
    table = pa.table({"user": [{"id": user} for user, _, _ in ROWS], "item_id": [item for _, item, _ in ROWS]})
    (tmp_path / "log" / "day=1").mkdir(parents=True)
    path = tmp_path / "log" / "day=1" / "part-0.parquet"
    pq.write_table(table, path)
    description = "name: t\ninteractions: {path: log, columns: {user_id: user.id, timestamp: day}}\n"
    (tmp_path / "dataset.yaml").write_text(description)
    assert forget("zebra-user", tmp_path).removed == {str(path): 6}
    kept = pq.ParquetFile(path).read()
    assert kept.schema.names == ["user", "item_id"]  # And not the folder's `day`.
    assert [row["id"] for row in kept["user"].to_pylist()] == ["other-user"] * 6


def test_sealed_spans_and_those_that_broke_off_are_reached(tmp_path: pathlib.Path) -> None:
    serving, made = shop.make(tmp_path / "root")
    root, data = serving.parent, made.rename(tmp_path / "data")
    log = shop.busy(serving, 1, num_users=3)
    seal(serving, data, shop.NOW, keep_seconds=0)
    (data / f"{STAGING}2").mkdir()
    (data / f"{STAGING}2" / "interactions.parquet").write_bytes(b"u0")
    done = forget("u0", data, root)
    assert {path.removeprefix(f"{data}/") for path in done.removed} >= {
        "interactions/1.parquet",
        "exposures/1.parquet",
        "feedback/1.parquet",
    }
    assert not (data / f"{STAGING}2").exists()
    left = [row for path in data.rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert {row["user_id"] for row in left} == {"u1", "u2"}
    store = LiveStore(serving / "live.sqlite")
    assert not store.excluded("u0") and store.excluded("u1") and len(log) == 60
    store.close()
