"""Push, promote and roll back, as a reader of the folder and as a client of a running server see them."""

import concurrent.futures
import contextlib
import pathlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from homefeed.serving import process
from homefeed.serving.audit import Trail
from homefeed.serving.audit.trail import FILE_NAME as AUDIT_FILE
from homefeed.serving.model_server.server import ModelServer
from homefeed.serving.releases import ReleaseError, Releases
from homefeed.serving.releases.server_config import BATCHING_FILE, CONFIG_FILE, MOUNTED_FILE
from tests.serving.conftest import Models
from tests.serving.servers import Stubs, column, eventually, fails, running_server


@pytest.fixture
def half(models: Models) -> dict[str, pathlib.Path]:
    return {"half": models.root / "half_plus_two"}


@pytest.fixture(params=["folder", "object store"])
def releases(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Releases:
    return Releases(tmp_path if request.param == "folder" else f"memory://{tmp_path.name}")


def states(releases: Releases) -> dict[int, str]:
    return {release.version: release.state for release in releases.versions()}


def test_each_push_becomes_stable_and_the_one_before_stays(releases: Releases, half: dict[str, pathlib.Path]) -> None:
    assert [releases.push(half), releases.push(half)] == [1, 2]
    assert states(releases) == {2: "stable", 1: "previous"}
    assert releases.models() == ["half"] and releases.stable() == 2


def test_a_canary_is_promoted_or_taken_back(releases: Releases, half: dict[str, pathlib.Path]) -> None:
    releases.push(half, canary=True)  # There is no other to be stable.
    releases.push(half, canary=True)
    assert states(releases) == {2: "canary", 1: "stable"}
    assert releases.promote() == 2
    assert states(releases) == {2: "stable", 1: "previous"}
    releases.push(half, canary=True)
    assert releases.rollback() == 2
    assert states(releases) == {3: "retired", 2: "stable", 1: "previous"}
    assert releases.push(half) == 4  # A number is never given twice.
    assert releases.rollback() == 2, "the newest before it, not the oldest"


def test_a_new_push_takes_the_place_of_a_canary(releases: Releases, half: dict[str, pathlib.Path]) -> None:
    for canary in (False, True, True):
        releases.push(half, canary=canary)
    assert states(releases) == {3: "canary", 2: "retired", 1: "stable"}


def test_a_version_that_was_rolled_back_can_be_promoted_again(
    releases: Releases, half: dict[str, pathlib.Path]
) -> None:
    releases.push(half)
    releases.push(half)
    assert releases.rollback() == 1
    assert states(releases) == {2: "retired", 1: "stable"}
    assert releases.promote(2) == 2
    assert states(releases) == {2: "stable", 1: "previous"}


def test_what_there_is_not_is_told(releases: Releases, half: dict[str, pathlib.Path]) -> None:
    with pytest.raises(ReleaseError, match="no published models yet"):
        releases.stable()
    releases.push(half)
    with pytest.raises(ReleaseError, match="no version has the label canary; say which one to promote, there are 1"):
        releases.promote()
    with pytest.raises(ReleaseError, match=r"version 7 does not exist in .*; there are 1"):
        releases.promote(7)
    with pytest.raises(ReleaseError, match="no version before 1 to go back to; there are 1"):
        releases.rollback()


def test_folders_from_before_there_was_a_configuration(
    models: Models, half: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    models.publish("half_plus_two", tmp_path / "half", 3)
    releases = Releases(tmp_path)
    assert releases.stable() == 3
    releases.configure()
    assert "value: 3" in (tmp_path / CONFIG_FILE).read_text(encoding="utf-8")
    assert releases.push(half) == 4, "after the highest, however many there are"


def test_a_concurrent_reader_never_sees_half_a_version(half: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    complete = sorted(path.relative_to(half["half"]) for path in half["half"].rglob("*"))
    seen: list[bool] = []
    stopping = threading.Event()

    def read() -> None:
        while not stopping.is_set():
            for version in tmp_path.glob("half/[0-9]*"):
                seen.append(sorted(path.relative_to(version) for path in version.rglob("*")) == complete)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(20):
            Releases(tmp_path).push(half)
        eventually(lambda: len(seen) > 20)
    finally:
        stopping.set()
        reader.join()
    assert all(seen)


class Died(Exception):  # noqa: N818  No error: a kill.
    """Where a process was killed."""


@pytest.mark.parametrize("step", ["assembling", "renaming", "labelling"])
def test_a_push_that_died_is_cleaned_up_and_never_seen(
    step: str, models: Models, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = dict.fromkeys(("first", "second"), models.root / "half_plus_two")
    releases = Releases(tmp_path)
    assert releases.push(two) == 1
    with monkeypatch.context() as patch:
        calls: list[str] = []

        def dies(*arguments: object, **options: object) -> None:
            calls.append(step)
            if len(calls) == 2 or step == "labelling":
                raise Died

        places = {"assembling": (shutil, "copytree"), "renaming": (pathlib.Path, "rename")}
        place, name = places.get(step, (Releases, "_write_config"))
        real = getattr(place, name)
        patch.setattr(place, name, lambda *a, **o: (dies(*a, **o), real(*a, **o)))
        with pytest.raises(Died):
            releases.push(two)
    for left in (
        tmp_path / ".profiles.tmp",
        tmp_path / "first" / ".half.tmp" / "saved_model.pb",
    ):  # Of one that was killed.
        left.parent.mkdir(parents=True, exist_ok=True)
        left.touch()
    seen = {path.parent.name: path.name for path in tmp_path.glob("*/[0-9]*") if path.name != "1"}
    assert seen == {"assembling": {}, "renaming": {"first": "2"}, "labelling": {"first": "2", "second": "2"}}[step]
    assert releases.stable() == 1
    number = releases.push(two)
    assert states(releases)[number] == "stable" and releases.stable() == number > 1
    assert not [*tmp_path.glob("*/.*"), *tmp_path.glob(".*.tmp")], "a hidden copy was left"
    offered = {path.name for path in tmp_path.glob("*/[0-9]*") if path.name.isdecimal()}
    assert offered == {"1", str(number)}


def test_an_upload_that_died_is_taken_back_by_the_next(
    half: dict[str, pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases = Releases(f"memory://{tmp_path.name}")
    releases.push(half)
    with monkeypatch.context() as patch:
        patch.setattr(Releases, "_write_config", lambda *_: (_ for _ in ()).throw(Died))
        with pytest.raises(Died):
            releases.push(half)
    assert states(releases) == {2: "previous", 1: "stable"}
    assert releases.push(half) == 3
    assert states(releases) == {3: "stable", 2: "retired", 1: "previous"}


def test_what_models_have_in_common_lies_on_the_disk_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, size = pathlib.Path("variables") / "variables.data-00000-of-00002", 1 << 16
    contents = {"a": b"x" * size, "b": b"x" * size, "c": b"x" * (size - 1) + b"y"}
    for name, content in contents.items():
        (tmp_path / "models" / name / "variables").mkdir(parents=True)
        (tmp_path / "models" / name / "saved_model.pb").write_bytes(b"the same, and small")
        (tmp_path / "models" / name / table).write_bytes(content)
    releases = Releases(tmp_path / "serving")

    def push() -> list[int]:
        version = releases.push({name: tmp_path / "models" / name for name in contents})
        places = [tmp_path / "serving" / name / str(version) for name in contents]
        assert [(place / table).read_bytes() for place in places] == list(contents.values())
        assert len({(place / "saved_model.pb").stat().st_ino for place in places}) == 3
        return [(place / table).stat().st_ino for place in places]

    first, second, other = push()
    assert first == second != other
    assert (tmp_path / "models" / "a" / table).stat().st_ino != first  # What was trained is nobody else's file.

    def refuse(*_: object) -> None:
        raise OSError("Operation not supported")

    monkeypatch.setattr("os.link", refuse)
    assert len(set(push())) == 3


def test_two_at_once_push_one_after_the_other(half: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda _: Releases(tmp_path).push(half), range(8)))
    assert sorted(numbers) == list(range(1, 9))
    assert Releases(tmp_path).stable() == 8


def test_containers_read_the_same_labels_at_their_own_place(
    half: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    releases = Releases(tmp_path / "serving")
    releases.push(half)
    assert labels_at(tmp_path / "serving" / MOUNTED_FILE) == {"/models/half": {"stable": 1}}
    releases.mount("/mnt/shop models")
    releases.push(half, canary=True)
    assert labels_at(tmp_path / "serving" / MOUNTED_FILE) == {"/mnt/shop models/half": {"stable": 1, "canary": 2}}
    moved = (tmp_path / "serving").rename(tmp_path / "moved")
    Releases(moved).configure()
    assert labels_at(moved / MOUNTED_FILE) == {"/mnt/shop models/half": {"stable": 1, "canary": 2}}
    assert labels_at(moved / CONFIG_FILE) == {f"{moved}/half": {"stable": 1, "canary": 2}}


def labels_at(file: pathlib.Path) -> dict[str, dict[str, int]]:
    """Base path → labels."""
    from homefeed.serving.model_server import config
    from homefeed.serving.model_server.messages import ModelServerConfig

    found = config.parse(config.read_text_proto(str(file), ModelServerConfig))
    return {str(model.base_path): dict(model.labels) for model in found.values()}


@contextlib.contextmanager
def following(releases: Releases, **flags: Any) -> Iterator[tuple[ModelServer, Stubs]]:
    """The server of `homefeed serve` in this process, which looks often at what is pushed."""
    flags |= {"model_config_file_poll_wait_seconds": 0.05, "file_system_poll_wait_seconds": 0.02}
    with running_server(**parsed(process.server_flags(releases.root, process.free_port())) | flags) as server:
        yield server, Stubs(f"127.0.0.1:{server.grpc_port}")


def test_a_label_moves_on_while_pushes_come_faster_than_loads(models: Models, tmp_path: pathlib.Path) -> None:
    """The loads of a release take 0.4 s and a push comes every 0.15 s."""
    two = dict.fromkeys(("half", "other"), models.root / "half_plus_two")
    releases = Releases(tmp_path)
    releases.push(two)
    with following(releases) as (server, stubs):
        manager = server._core._manager
        load, begun = manager._loader, list[int]()
        manager._loader = lambda *version: (begun.append(version[1]), time.sleep(0.2), load(*version))[2]
        stopping, failures = threading.Event(), list[str]()
        answers: dict[str, list[int]] = {name: [] for name in two}

        def ask(name: str) -> None:
            while not stopping.is_set():
                try:
                    answer = stubs.predict(name, {"x": column(2)}, label="stable")
                    answers[name].append(answer.model_spec.version.value)
                except grpc.RpcError as error:
                    failures.append(f"{error.code()}: {error.details()}")

        clients = [threading.Thread(target=ask, args=[name]) for name in two]
        for client in clients:
            client.start()
        last = 1
        deadline = time.monotonic() + 30
        # Until the label has been on three versions between the first and the last one, with all the pushes going on.
        while len(set(answers["half"])) < 4 and time.monotonic() < deadline:
            last = releases.push(two)
            time.sleep(0.15)
        eventually(lambda: all(last in of_model for of_model in answers.values()))
        eventually(lambda: list(stubs.states("half").values()).count("AVAILABLE") == 2)
        stopping.set()
        for client in clients:
            client.join()
    assert failures == []
    assert len(set(answers["half"])) >= 4
    for of_model in answers.values():
        assert of_model == sorted(of_model)
    # The models go together, and what was loaded was served; the last one's predecessor is there for a rollback.
    assert set(begun) - {last - 1} <= set(answers["half"]) == set(answers["other"])


def test_the_newest_canary_that_was_loaded_is_served_while_pushes_come_faster_than_loads(
    models: Models, tmp_path: pathlib.Path
) -> None:
    """Each push takes the canary before it back, which is still loading by then or waits for its turn."""
    two = dict.fromkeys(("half", "other"), models.root / "half_plus_two")
    releases = Releases(tmp_path)
    releases.push(two)
    with following(releases) as (server, stubs):
        manager = server._core._manager
        load = manager._loader
        manager._loader = lambda *version: (time.sleep(0.2), load(*version))[1]
        seen: dict[str, list[int]] = {name: [] for name in two}

        def ask(label: str) -> dict[str, int]:
            return {n: stubs.predict(n, {"x": column(2)}, label=label).model_spec.version.value for n in two}

        last, deadline = 1, time.monotonic() + 30
        while len(set(seen["half"])) < 2 and time.monotonic() < deadline:
            last = releases.push(two, canary=True)
            time.sleep(0.15)
            assert set(ask("stable").values()) == {1}
            with contextlib.suppress(grpc.RpcError):
                for name, version in ask("canary").items():
                    seen[name].append(version)
        assert len(set(seen["half"])) == 2, seen
        assert all(versions == sorted(versions) for versions in seen.values())
        eventually(lambda: set(ask("canary").values()) == {last})
        eventually(lambda: list(stubs.states("half").values()).count("AVAILABLE") == 2)
        releases.rollback()
        eventually(lambda: list(stubs.states("half").values()).count("AVAILABLE") == 1)
        with fails(grpc.StatusCode.INVALID_ARGUMENT, "Unrecognized servable version label: canary"):
            ask("canary")


def test_a_release_that_is_taken_back_while_it_loads_is_not_served(models: Models, tmp_path: pathlib.Path) -> None:
    two = {"half": models.root / "half_plus_two"}
    releases = Releases(tmp_path)
    releases.push(two)
    with following(releases) as (server, stubs):
        manager = server._core._manager
        load, go_on = manager._loader, threading.Event()
        manager._loader = lambda *version: (go_on.wait(20), load(*version))[1]
        releases.push(two)
        eventually(lambda: stubs.states("half").get(2) == "LOADING" and server._core._coming)
        releases.push(two)
        releases.rollback()
        releases.rollback()
        eventually(lambda: not server._core._coming)
        go_on.set()
        eventually(lambda: stubs.states("half") == {2: "END", 1: "AVAILABLE"})
        assert stubs.predict("half", {"x": column(2)}, label="stable").model_spec.version.value == 1


def test_a_release_that_cannot_be_loaded_holds_up_none_after_it(models: Models, tmp_path: pathlib.Path) -> None:
    two = {"half": models.root / "half_plus_two"}
    broken = {"half": tmp_path / "broken"}
    broken["half"].mkdir()
    releases = Releases(tmp_path / "served")
    releases.push(two)
    with following(releases, load_retry_interval_micros=60_000_000) as (server, stubs):
        releases.push(broken)
        eventually(lambda: server._core._manager.has_failed("half", 2))
        releases.push(two)
        eventually(lambda: stubs.predict("half", {"x": column(2)}, label="stable").model_spec.version.value == 3)


def test_a_running_server_follows_pushes_promotions_and_rollbacks(models: Models, tmp_path: pathlib.Path) -> None:
    two, three = ({"half": models.root / name} for name in ("half_plus_two", "half_plus_three"))
    releases = Releases(tmp_path)
    releases.push(two)
    given = process.server_flags(str(tmp_path), process.free_port())
    quick = {"model_config_file_poll_wait_seconds": 0.1, "file_system_poll_wait_seconds": 0.1}
    with running_server(**parsed(given) | quick) as server:
        stubs = Stubs(f"127.0.0.1:{server.grpc_port}")

        def answer(label: str = "") -> tuple[int, float]:
            response = stubs.predict("half", {"x": column(2)}, label=label)
            return response.model_spec.version.value, response.outputs["y"].float_val[0]

        assert answer() == answer("stable") == (1, 3.0)
        releases.push(three, canary=True)
        eventually(lambda: answer() == (2, 4.0))
        eventually(lambda: server_has(server, "canary") and answer("canary") == (2, 4.0))
        assert answer("stable") == (1, 3.0)
        releases.promote()
        eventually(lambda: answer("stable") == (2, 4.0))
        releases.rollback(settle_seconds=0.5)
        assert answer("stable") == (1, 3.0)
        eventually(lambda: answer() == (1, 3.0))
        releases.push(three)
        eventually(lambda: answer() == answer("stable") == (3, 4.0))


def server_has(server: object, label: str) -> bool:
    return label in server._core._labels["half"]  # type: ignore[attr-defined]


def parsed(arguments: list[str]) -> dict[str, object]:
    """Flags of a command line, as fields."""
    import dataclasses

    from homefeed.serving.model_server import flags

    found, unknown = flags.parse(arguments)
    assert not unknown
    names = [argument.removeprefix("--").partition("=")[0] for argument in arguments]
    return {name: value for name, value in dataclasses.asdict(found).items() if name in names}


def test_both_files_are_ones_that_a_server_reads(half: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    from homefeed.serving.model_server import config
    from homefeed.serving.model_server.execution.batching_parameters import Parameters
    from homefeed.serving.model_server.messages import BatchingParameters, ModelServerConfig

    Releases(tmp_path).push(half)
    parameters = Parameters.from_proto(config.read_text_proto(str(tmp_path / BATCHING_FILE), BatchingParameters))
    assert parameters.pad_variable_length_inputs and parameters.batch_timeout_seconds == 0
    (model,) = config.parse(config.read_text_proto(str(tmp_path / CONFIG_FILE), ModelServerConfig)).values()
    assert model.labels == {"stable": 1} and str(model.base_path) == str(tmp_path / "half")


@pytest.mark.parametrize("place", ["folder", "object store"])
def test_a_push_on_a_full_disk_leaves_nothing(
    place: str, half: dict[str, pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    releases = Releases(tmp_path / "served" if place == "folder" else f"memory://{tmp_path.name}-full")
    assert releases.push(half) == 1

    def files() -> dict[pathlib.Path, bytes]:
        found = (path for path in tmp_path.rglob("*") if path.is_file() and path.name != AUDIT_FILE)
        return {path: path.read_bytes() for path in found}

    before = files()

    def copy_half(source: pathlib.Path, target: pathlib.Path) -> None:
        target.mkdir(parents=True)
        (target / "variables").write_bytes(b"half of them")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full, pytest.raises(OSError, match="No space left"):
        full.setattr("shutil.copytree", copy_half)
        releases.push(half)
    assert files() == before
    if place == "folder":
        failed, pushed = Trail.beside(tmp_path / "served").entries()
        assert failed.details["outcome"] == "failed: [Errno 28] No space left on device"
        assert "outcome" not in pushed.details
    assert states(releases) == {1: "stable"} and releases.push(half) == 2
