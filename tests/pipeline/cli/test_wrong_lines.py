"""Wrong command lines, files and permissions end in one line and exit code 1 or 2."""

import contextlib
import pathlib
import resource
import shlex
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from homefeed.components.schema_gen import review  # noqa: F401  Libraries cannot be loaded with no rights or disk.
from homefeed.models.requests import Event, Request
from homefeed.pipeline.datasets.sample import write_sample
from homefeed.serving.profiles import FILE_NAME, write_profiles
from homefeed.serving.releases import Releases
from tests.permissions import as_nobody, readable
from tests.pipeline.cli.wrong_lines import RIGHT, Wrong, all_wrong, filled, verbs
from tests.pipeline.command import homefeed

WRONG = all_wrong()
NEW = ("new_dir", "out_dir", "out_file", "root", "content")
EVENTS = "user_id,item_id,timestamp\n" + "".join(f"u{n % 5},i{n % 7},{1_700_000_000 + n}\n" for n in range(60))


@pytest.fixture(scope="module")
def places(
    tmp_path_factory: pytest.TempPathFactory, toy_models: dict[str, pathlib.Path]
) -> Iterator[Callable[[], dict[str, str]]]:
    """Names of places → paths; `out_…` and `root` are new ones each time."""
    tmp = tmp_path_factory.mktemp("a folder with spaces")
    data, served, ran = (tmp / name for name in ("data", "served", "ran"))
    write_sample(data, num_users=20, num_items=40, num_events=150, seed=1)
    (tmp / "file").write_text("not a folder: [")
    (tmp / "binary").write_bytes(bytes(range(128, 256)) * 9)
    (tmp / "loop").symlink_to(tmp / "loop")
    (tmp / "in_dir").mkdir()
    (tmp / "config.yaml").write_text("{}")
    (tmp / "users.jsonl").write_text('{"user_id": "u1"}\n')
    Releases(served / "serving").push({name: path / "Format-Serving" for name, path in toy_models.items()})
    write_profiles(served / "serving" / FILE_NAME, [Request("u1", [Event("i1")])], {"i1": "One"})
    assert homefeed("run", "--data", str(data), "--root", str(ran), "--until", "example_gen", "--json") == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        fixed = {"tmp": tmp, "data": data, "served": served, "ran": ran}
        fixed |= {name: tmp / name for name in ("file", "binary", "loop")}
        fixed |= {
            "in_dir": tmp / "in_dir",
            "archive": tmp / "absent.zip",
            "config": tmp / "config.yaml",
            "in_file": tmp / "users.jsonl",
        }
        number = iter(range(100_000))

        def fill() -> dict[str, str]:
            new = {name: tmp / f"{name}-{next(number)}" for name in NEW}
            return {name: str(path) for name, path in (fixed | new).items()} | {"taken": str(taken.getsockname()[1])}

        yield fill


def test_there_are_many_and_every_verb_is_among_them() -> None:
    assert len(WRONG) >= 200
    assert verbs().keys() == RIGHT.keys()


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_it_ends_in_a_line(
    wrong: Wrong, places: Callable[[], dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    filling = places()
    if "{content}" in wrong.line:
        write_content(pathlib.Path(filling["content"]), wrong.content)
    # Filled in word by word: the places have spaces in their names.
    code = homefeed(*(filled(word, filling) for word in shlex.split(wrong.line.replace('"', '\\"'))))
    ends_in_a_line(code, capsys.readouterr(), filled(wrong.named, filling))
    assert not pathlib.Path(filling["tmp"], "absent").exists()  # Else the next line finds what it should miss.
    if wrong.named == "{tmp}/absent":
        assert not [filling[name] for name in NEW if pathlib.Path(filling[name]).exists()]


def ends_in_a_line(code: int, said: Any, named: str) -> None:
    assert code in (1, 2), said
    assert said.err.count("\n") == 1 and said.err.endswith("\n"), said.err
    assert "Traceback" not in said.err and "pydantic" not in said.err
    assert named in said.err


def write_content(folder: pathlib.Path, content: str) -> None:
    """A data folder, a configuration and a file of users that say the same, beside tables of every kind."""
    (folder / "folder").mkdir(parents=True)
    for name in ("dataset.yaml", "config.yaml", "users.jsonl"):
        (folder / name).write_text(content, encoding="utf-8")
    for name in ("events.csv", "events.txt"):
        (folder / name).write_text(EVENTS)
    (folder / "empty.csv").touch()
    (folder / "loop.csv").symlink_to("loop.csv")
    for name in ("binary.csv", "binary.parquet", "binary.csv.gz", "binary.jsonl"):
        (folder / name).write_bytes(bytes(range(128, 256)) * 9)


# --- Permissions and full disks ---


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow: the next best to a full disk that a test can make."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


WRITING = [
    "data sample --out {out_dir} --users 20 --items 40 --events 150",
    "data page --data {data} --out {out_file}",
    "drift --baseline {data} --current {data} --html {out_file}",
    "run --data {data} --root {root} --until example_gen",
    "retrain --data {data} --root {root}",
    "tune --data {data} --root {root} --set-range ranking_trainer.width=32,64",
    "batch-recommend --root {served} --users {in_file} --out {out_file}",
    "deploy compile --out {out_file}",
    "deploy workers --out {out_dir}",
    "deploy serving --root {served} --out {out_dir}",
    "models promote 1 --root {served}",
    "schema infer --data {data}",
]
READING = [
    "run --data {locked} --root {root}",
    "run --data {data} --root {root} --config {locked}/dataset.yaml",
    "data page --data {locked} --out {out_file}",
    "drift --baseline {data} --current {locked}",
    "evaluate --root {locked}",
    "lineage --root {locked}",
    "recommend --root {locked} --user u",
    "serve --root {locked}",
    "models list --root {locked}",
    "batch-recommend --root {served} --users {locked}/users.jsonl --out {out_file}",
    "index refresh --root {locked} --data {data}",
    "forget u1 --data {locked}",
    "deploy serving --root {locked} --out {out_dir}",
    "deploy vertex --package {locked}/p.yaml --bucket gs://b --project p --region r --dry-run",
]


@pytest.mark.parametrize("line", WRITING)
def test_a_full_disk_is_a_line(
    line: str, places: Callable[[], dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    filling = places()
    with full_disk():
        code = homefeed(*(filled(word, filling) for word in line.split()))
    ends_in_a_line(code, capsys.readouterr(), "")


@pytest.mark.parametrize("line", WRITING)
def test_a_folder_that_may_not_be_written_is_a_line(
    line: str, places: Callable[[], dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    filling = places()
    readable(pathlib.Path(filling["tmp"]))
    with as_nobody():
        code = homefeed(*(filled(word, filling) for word in line.split()))
    ends_in_a_line(code, capsys.readouterr(), "")


@pytest.mark.parametrize("line", READING)
def test_what_may_not_be_read_is_a_line(
    line: str, places: Callable[[], dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    filling = places()
    tmp = pathlib.Path(filling["tmp"])
    readable(tmp)
    locked = tmp / "locked"
    locked.mkdir(mode=0o000, exist_ok=True)
    with as_nobody():
        code = homefeed(*(filled(word, filling | {"locked": str(locked)}) for word in line.split()))
    ends_in_a_line(code, capsys.readouterr(), "locked")
