"""In which order versions are loaded and unloaded, with a loader that waits until it is told to go on."""

import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from homefeed.serving.model_server.errors import Code, StatusError
from homefeed.serving.model_server.loading.manager import Manager
from homefeed.serving.model_server.loading.versions import State
from tests.serving.servers import eventually


class Loaded:
    """What stands for a loaded model here: it only knows whether it was freed."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Loader:
    """Loads what it is allowed to, fails where it should, and keeps the order."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.failing: set[int] = set()
        self._allowed: dict[int, threading.Event] = {}

    def allow(self, *versions: int) -> None:
        for version in versions:
            self._allowed.setdefault(version, threading.Event()).set()

    def __call__(self, name: str, version: int, path: pathlib.Path) -> Any:
        self.started.append(version)
        assert self._allowed.setdefault(version, threading.Event()).wait(20)
        if version in self.failing:
            raise StatusError(Code.DATA_LOSS, "broken")
        return Loaded(version)


class Setup:
    def __init__(self, **options: Any) -> None:
        self.loader = Loader()
        self.manager = Manager(self.loader, **({"max_num_load_retries": 0} | options))

    def want(self, *versions: int) -> None:
        self.manager.set_aspired_versions("m", {version: pathlib.Path(str(version)) for version in versions})

    def states(self) -> dict[int, str]:
        return {version: status.state.name for version, status in self.manager.statuses("m").items()}


@pytest.fixture
def make() -> Iterator[Any]:
    setups: list[Setup] = []

    def build(**options: Any) -> Setup:
        setups.append(Setup(**options))
        return setups[-1]

    yield build
    for setup in setups:
        setup.loader.allow(*range(20))
        assert setup.manager.stop(10)


def test_the_highest_new_version_is_loaded_first(make: Any) -> None:
    setup = make()
    setup.want(1, 3, 2)
    eventually(lambda: setup.states() == {3: "LOADING", 2: "START", 1: "START"})
    setup.loader.allow(1, 2, 3)
    eventually(lambda: set(setup.states().values()) == {"AVAILABLE"})
    assert setup.loader.started == [3, 2, 1]


def test_the_last_old_version_stays_until_a_wanted_one_is_ready(make: Any) -> None:
    setup = make()
    setup.loader.allow(1, 2)
    setup.want(1, 2)
    eventually(lambda: setup.states() == {2: "AVAILABLE", 1: "AVAILABLE"})
    setup.want(3)
    # Of the two old ones the lower goes at once; the other one only when 3 is there.
    eventually(lambda: setup.states() == {3: "LOADING", 2: "AVAILABLE", 1: "END"})
    with setup.manager.lend("m") as servable:
        assert servable.version == 2
    setup.loader.allow(3)
    eventually(lambda: setup.states() == {3: "AVAILABLE", 2: "END", 1: "END"})


def test_a_version_that_fails_leaves_the_old_one_serving_until_another_comes(make: Any) -> None:
    setup = make()
    setup.loader.allow(1, 2, 3)
    setup.want(1)
    eventually(lambda: setup.states() == {1: "AVAILABLE"})
    setup.loader.failing = {2}
    setup.want(2)
    eventually(lambda: setup.states() == {2: "END", 1: "AVAILABLE"})
    status = setup.manager.statuses("m")[2]
    assert (status.code, status.message) == (Code.DATA_LOSS, "broken")

    # It is not tried again while it is wanted, but when it went away and came back.
    setup.want(2)
    setup.want()
    eventually(lambda: setup.states() == {2: "END", 1: "END"})
    setup.loader.failing = set()
    setup.want(2)
    eventually(lambda: setup.states() == {2: "AVAILABLE", 1: "END"})
    assert setup.loader.started == [1, 2, 2]


def test_an_unload_waits_for_the_requests_that_use_the_version(make: Any) -> None:
    setup = make()
    setup.loader.allow(1, 2)
    setup.want(1)
    eventually(lambda: setup.states() == {1: "AVAILABLE"})
    with setup.manager.lend("m", 1) as servable:
        setup.want(2)
        eventually(lambda: setup.states() == {2: "AVAILABLE", 1: "UNLOADING"})
        with pytest.raises(StatusError, match=r"Specific\(m, 1\)"), setup.manager.lend("m", 1):
            pass
        assert not servable.closed
    eventually(lambda: setup.states() == {2: "AVAILABLE", 1: "END"})
    assert servable.closed


def test_a_version_that_is_wanted_again_while_it_unloads_is_loaded_anew(make: Any) -> None:
    setup = make()
    setup.loader.allow(1, 2)
    setup.want(1)
    eventually(lambda: setup.states() == {1: "AVAILABLE"})
    with setup.manager.lend("m", 1):
        setup.want(2)
        eventually(lambda: setup.states() == {2: "AVAILABLE", 1: "UNLOADING"})
        setup.want(1)
        assert setup.states()[2] == "AVAILABLE"
    eventually(lambda: setup.states() == {2: "END", 1: "AVAILABLE"})
    assert setup.loader.started == [1, 2, 1]


def test_a_failed_load_is_tried_again_and_stays_loading_meanwhile(make: Any) -> None:
    setup = make(max_num_load_retries=3, load_retry_interval_seconds=0.1)
    setup.loader.failing = {1}
    setup.loader.allow(1)
    setup.want(1)
    eventually(lambda: len(setup.loader.started) == 2)
    assert setup.states() == {1: "LOADING"}
    setup.loader.failing = set()
    eventually(lambda: setup.states() == {1: "AVAILABLE"})


def test_waiting_for_a_retry_ends_when_the_version_is_no_longer_wanted_and_holds_nobody_up(make: Any) -> None:
    setup = make(max_num_load_retries=3, load_retry_interval_seconds=1000.0)
    setup.loader.failing = {2}
    setup.loader.allow(1, 2)
    setup.want(1, 2)
    eventually(lambda: setup.states() == {2: "LOADING", 1: "AVAILABLE"})
    setup.want(1)
    eventually(lambda: setup.states() == {2: "END", 1: "AVAILABLE"})


def test_an_unexpected_exception_of_a_load_fails_that_version_only(make: Any) -> None:
    class Broken(Loader):
        def __call__(self, name: str, version: int, path: pathlib.Path) -> Any:
            if version == 2:
                raise RuntimeError("a bug")
            return super().__call__(name, version, path)

    setup = make()
    setup.manager._loader = Broken()
    setup.manager._loader.allow(1)
    setup.want(1, 2)
    eventually(lambda: setup.states() == {2: "END", 1: "AVAILABLE"})
    assert setup.manager.statuses("m")[2].code is Code.INTERNAL


def test_waiting_tells_which_versions_failed(make: Any) -> None:
    setup = make()
    setup.loader.failing = {1}
    setup.loader.allow(1)
    setup.want(1)
    failed = setup.manager.wait_until_available(["m"])
    assert {key: status.state for key, status in failed.items()} == {("m", 1): State.END}
    assert setup.manager.wait_until_available(["m", "never"], gives_up=lambda: True)
