"""Any pushes, promotions and rollbacks, in a folder and in an object store, beside a model of a few lines."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pathlib
import tempfile
import uuid

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.serving.model_server.messages import ModelServerConfig
from homefeed.serving.releases import ReleaseError, Releases
from homefeed.serving.releases.server_config import CONFIG_FILE, MOUNTED_FILE

NAMES = ("fused", "retrieval")


@dataclasses.dataclass
class Shelf:
    """What the documentation promises: numbers are never given twice, and servers see nothing above the labels."""

    last: int = 0
    stable: int | None = None
    canary: int | None = None
    offered: set[int] = dataclasses.field(default_factory=set)
    retired: set[int] = dataclasses.field(default_factory=set)

    def push(self, canary: bool) -> int:
        self.last += 1
        if self.canary is not None:
            self._retire({self.canary})
        self.offered.add(self.last)
        is_canary = canary and self.stable is not None
        self.canary = self.last if is_canary else None
        self.stable = self.stable if is_canary else self.last
        return self.last

    def promote(self, version: int | None) -> int | None:
        """None: it must be refused."""
        chosen = self.canary if version is None else version
        if chosen is None or chosen not in self.offered | self.retired:
            return None
        self.retired.discard(chosen)
        self.offered.add(chosen)
        self.stable, self.canary = chosen, None
        self._retire({number for number in self.offered if number > chosen})
        return chosen

    def rollback(self) -> int | None:
        if self.canary is not None:
            return self.promote(self.stable)
        earlier = [number for number in self.offered if self.stable is not None and number < self.stable]
        return self.promote(max(earlier)) if earlier else None

    def _retire(self, versions: set[int]) -> None:
        self.offered -= versions
        self.retired |= versions

    def states(self) -> dict[int, str]:
        labels = {self.stable: "stable", self.canary: "canary"}
        found = {version: labels.get(version, "previous") for version in self.offered}
        return found | dict.fromkeys(self.retired, "retired")


STEPS = st.one_of(
    st.tuples(st.just("push"), st.booleans()),
    st.tuples(st.just("promote"), st.none() | st.integers(1, 7)),
    st.tuples(st.just("rollback"), st.none()),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """What a release copies: nothing of it is opened."""
    folders = {name: tmp_path_factory.mktemp(name) for name in NAMES}
    for folder in folders.values():
        (folder / "variables").mkdir()
        for file in ("saved_model.pb", "variables/variables.index"):
            (folder / file).write_text(file)
    return folders


@pytest.mark.parametrize("kind", ["folder", "object store"])
@given(steps=st.lists(STEPS, max_size=9))
@settings(max_examples=20)
def test_the_shelf_is_as_it_is_promised_after_any_steps(
    kind: str, steps: list[tuple[str, bool | int | None]], models: dict[str, pathlib.Path]
) -> None:
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory()) if kind == "folder" else f"memory://{uuid.uuid4()}"
        releases, shelf = Releases(place), Shelf()
        for step, argument in steps:
            if step == "push":
                assert releases.push(models, canary=bool(argument)) == shelf.push(bool(argument))
            else:
                expected = shelf.rollback() if step == "rollback" else shelf.promote(argument)
                if expected is None:
                    with pytest.raises(ReleaseError, match="there are "):
                        releases.rollback() if step == "rollback" else releases.promote(argument)
                else:
                    assert (releases.rollback() if step == "rollback" else releases.promote(argument)) == expected
            check(Releases(place), shelf)


def check(releases: Releases, shelf: Shelf) -> None:
    """As whoever opens the folder now sees it."""
    versions = releases.versions()
    assert {release.version: release.state for release in versions} == shelf.states()
    assert [release.version for release in versions] == sorted(shelf.states(), reverse=True)
    if shelf.stable is None:
        with pytest.raises(ReleaseError, match="holds no published models yet"):
            releases.stable()
        return
    assert releases.stable() == shelf.stable and releases.models() == sorted(NAMES)
    assert all(release.models == NAMES for release in versions)
    for file, base in ((CONFIG_FILE, releases.root), (MOUNTED_FILE, "/models")):
        config = text_format.Parse(releases._folder.read(file), ModelServerConfig()).model_config_list.config
        assert [(entry.name, entry.base_path) for entry in config] == [(name, f"{base}/{name}") for name in NAMES]
        labels = {"stable": shelf.stable} | ({"canary": shelf.canary} if shelf.canary else {})
        assert all(dict(entry.version_labels) == labels for entry in config), "all models move together"
    # A server loads the two newest numbers that it sees: every label is among them, and nothing is above all.
    assert max(shelf.offered) == max(labels.values())
    assert set(labels.values()) <= set(sorted(shelf.offered)[-2:])
    for name, version in itertools.product(NAMES, shelf.offered):
        assert releases._folder._fs.isfile(f"{releases.path(name, version)}/variables/variables.index")


def test_a_place_that_cannot_be_opened_is_named() -> None:
    for place in ("nowhere://bucket/x", "memroy://x"):
        with pytest.raises(ReleaseError, match=f"{place} cannot be opened: "):
            Releases(place)
