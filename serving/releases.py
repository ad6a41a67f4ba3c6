"""The published versions of the models: push, promote, roll back, and the files that a model server reads.

    <serving_dir>/<model>/<version>/    one SavedModel; all models of a release have the same version
    <serving_dir>/<model>/4.retired/    a version that was taken back: servers pass over it, `promote` brings it back
    <serving_dir>/model.config          ModelServerConfig: every model with its labels `stable` and `canary`
    <serving_dir>/batching.config       BatchingParameters

Servers keep the two newest versions loaded, so a rollback costs no load. A label is moved in `model.config` at once
and takes effect when the version is loaded: a server refuses it until then, goes on with the old labels, and asks
again at its next poll. A request without a label gets the newest version, the canary included.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from homefeed.schemas.errors import HomefeedError
from homefeed.serving.server_config import BATCHING, BATCHING_FILE, CANARY, CONFIG_FILE, STABLE, model_config

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"

_RETIRED = ".retired"
_SAVED_MODEL = "saved_model.pb"


class ReleaseError(HomefeedError, ValueError):
    """There is no version of the kind that was asked for."""


@dataclasses.dataclass(frozen=True)
class Release:
    """One version.

    Attributes:
        state: `stable`, `canary`, `previous` (offered to servers, without a label) or `retired`.
        models: names of the models that have it.
    """

    version: int
    state: str
    models: tuple[str, ...]


class Releases:
    """The published versions below a serving directory.

    Args:
        serving_dir: a local folder, or a URL of an object store (`s3://…`, `gs://…`, with the fsspec package for it).
    """

    def __init__(self, serving_dir: str | pathlib.Path):
        import fsspec

        text = str(serving_dir)
        try:
            self._fs, self._root = fsspec.url_to_fs(text if "://" in text else str(pathlib.Path(text).resolve()))
        except (ImportError, ValueError) as error:  # No such scheme, or no package for it.
            raise ReleaseError(f"{text} cannot be opened: {error}") from error
        self._is_local = "file" in self._fs.protocol
        # What servers see as base_path; fsspec's own form of it may lack the scheme.
        self.root = self._root if self._is_local else text.rstrip("/")

    def models(self) -> list[str]:
        """Names of the models that have any version."""
        if not self._fs.isdir(self._root):
            return []
        folders = (entry for entry in self._fs.ls(self._root, detail=True) if entry["type"] == "directory")
        names = sorted(entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in folders)
        return [name for name in names if self._numbers(name)]

    def versions(self) -> list[Release]:
        """All versions, newest first."""
        stable, canary = self._labelled(STABLE), self._labelled(CANARY)
        models: dict[int, list[str]] = {}
        retired = set()
        for name in self.models():
            for version, is_retired in self._numbers(name).items():
                models.setdefault(version, []).append(name)
                if is_retired:
                    retired.add(version)
        labels = {stable: STABLE, canary: CANARY}
        return [
            Release(version, "retired" if version in retired else labels.get(version, "previous"), tuple(names))
            for version, names in sorted(models.items(), reverse=True)
        ]

    def stable(self) -> int:
        """The version with the label `stable`.

        Raises:
            ReleaseError: nothing was pushed yet.
        """
        stable = self._labelled(STABLE)
        if stable is None:
            raise ReleaseError(f"{self.root} holds no published models yet: `homefeed run` pushes them")
        return stable

    def configure(self) -> None:
        """Writes the servers' files anew, with the labels as they are: the folder may have moved.

        Raises:
            ReleaseError: nothing was pushed yet.
        """
        self._write_config(self.models(), self.stable(), self._labelled(CANARY))

    def push(
        self,
        models: Mapping[str, pathlib.Path],
        *,
        canary: bool = False,
        extras: Mapping[str, Mapping[str, pathlib.Path]] | None = None,
    ) -> int:
        """Publishes SavedModels under one new version; a reader sees nothing of it before it is whole.

        On an object store, which cannot rename a folder, `saved_model.pb` is written last: a version without it is
        none, and a server that tries one too early tries again.

        Args:
            models: model name → SavedModel folder, in the order in which they appear.
            canary: give it the label `canary` and leave `stable` where it is.
            extras: model name → path inside the version → file that is added to it.

        Returns:
            The version.
        """
        known = [release.version for release in self.versions()]
        stable, version = self._labelled(STABLE), max(known, default=0) + 1
        if (waiting := self._labelled(CANARY)) is not None:
            # Servers hold two versions: the new one and `stable`.
            self._write_config(self.models(), stable, None)
            self._retire([waiting])
        for name, saved_model in models.items():
            self._publish(saved_model, name, version, (extras or {}).get(name, {}))
        is_canary = canary and stable is not None
        names = sorted({*self.models(), *models})
        self._write_config(names, stable if is_canary else version, version if is_canary else None)
        return version

    def promote(self, version: int | None = None, *, settle_seconds: float = 0.0) -> int:
        """Makes a version the stable one, and the newest that servers see; newer ones are retired.

        Args:
            version: which; by default the canary.
            settle_seconds: pause between moving the labels and retiring newer versions. Servers that read the
                configuration within it never hold a label without a version.

        Raises:
            ReleaseError: there is no canary, or no such version.
        """
        chosen = self._labelled(CANARY) if version is None else version
        known = {release.version: release for release in self.versions()}
        there_are = f"there are {_listed(known.values())}"
        if chosen is None:
            raise ReleaseError(f"no version has the label {CANARY}; say which one to promote, {there_are}")
        if chosen not in known:
            raise ReleaseError(f"version {chosen} does not exist in {self.root}; {there_are}")
        if known[chosen].state == "retired":
            self._restore(chosen)
        self._write_config(self.models(), chosen, None)
        newer = [number for number, release in known.items() if number > chosen and release.state != "retired"]
        if newer:
            time.sleep(settle_seconds)
            self._retire(newer)
        return chosen

    def rollback(self, *, settle_seconds: float = 0.0) -> int:
        """Takes back the newest step: a canary that is out, or else the stable version, for the one before.

        Raises:
            ReleaseError: there is no earlier version.
        """
        stable = self._labelled(STABLE)
        if self._labelled(CANARY) is not None:
            return self.promote(stable, settle_seconds=settle_seconds)
        known = self.versions()
        earlier = [r.version for r in known if r.state != "retired" and stable is not None and r.version < stable]
        if not earlier:
            raise ReleaseError(f"no version before {stable} to go back to; there are {_listed(known)}")
        return self.promote(max(earlier), settle_seconds=settle_seconds)

    def put_file(self, path: pathlib.Path, name: str) -> str:
        """Publishes a file beside the models, in one step; gives its place."""
        self._write(name, path.read_bytes())
        return f"{self.root}/{name}"

    def path(self, model: str, version: int) -> str:
        """Folder or URL of a version."""
        return f"{self.root}/{model}/{version}"

    def _numbers(self, model: str) -> dict[int, bool]:
        """Version → whether it is retired."""
        folder = f"{self._root}/{model}"
        if not self._fs.isdir(folder):
            return {}
        names = (entry.rstrip("/").rsplit("/", 1)[-1] for entry in self._fs.ls(folder, detail=False))
        numbers = {name.removesuffix(_RETIRED): name.endswith(_RETIRED) for name in names}
        return {int(number): retired for number, retired in numbers.items() if number.isdecimal()}

    def _labelled(self, label: str) -> int | None:
        """Which version has a label; without a configuration the newest version is the stable one."""
        if not self._fs.isfile(f"{self._root}/{CONFIG_FILE}"):
            versions = [v for name in self.models() for v, retired in self._numbers(name).items() if not retired]
            return max(versions, default=None) if label == STABLE else None
        for entry in self._read_config().model_config_list.config:
            if label in entry.version_labels:
                return int(entry.version_labels[label])
        return None

    def _read_config(self) -> Any:
        from google.protobuf import text_format

        from homefeed.serving.model_server.messages import ModelServerConfig

        text = self._fs.cat_file(f"{self._root}/{CONFIG_FILE}").decode()
        return text_format.Parse(text, ModelServerConfig())

    def _write_config(self, models: Sequence[str], stable: int | None, canary: int | None) -> None:
        labels = {name: version for name, version in ((STABLE, stable), (CANARY, canary)) if version is not None}
        config = model_config({name: f"{self.root}/{name}" for name in models}, labels)
        self._write(BATCHING_FILE, BATCHING.encode())
        self._write(CONFIG_FILE, config.encode())

    def _write(self, name: str, data: bytes) -> None:
        self._fs.makedirs(self._root, exist_ok=True)
        if self._is_local:
            staging = f"{self._root}/.{uuid.uuid4().hex}.tmp"
            pathlib.Path(staging).write_bytes(data)
            os.replace(staging, f"{self._root}/{name}")
        else:
            self._fs.pipe_file(f"{self._root}/{name}", data)

    def _publish(
        self, saved_model: pathlib.Path, model: str, version: int, extras: Mapping[str, pathlib.Path]
    ) -> None:
        base_path = f"{self._root}/{model}"
        self._fs.makedirs(base_path, exist_ok=True)
        if self._is_local:
            # Not a number: servers pass over it.
            staging = pathlib.Path(base_path) / f".{uuid.uuid4().hex}.tmp"
            _assemble(staging, saved_model, extras)
            staging.rename(pathlib.Path(base_path) / str(version))
            return
        with tempfile.TemporaryDirectory() as folder:
            staging = pathlib.Path(folder) / str(version)
            _assemble(staging, saved_model, extras)
            files = sorted(path for path in staging.rglob("*") if path.is_file())
            for path in sorted(files, key=lambda path: path.name == _SAVED_MODEL):
                target = f"{base_path}/{version}/{path.relative_to(staging).as_posix()}"
                self._fs.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
                self._fs.put_file(str(path), target)

    def _retire(self, versions: Sequence[int]) -> None:
        self._rename({str(version): f"{version}{_RETIRED}" for version in versions})

    def _restore(self, version: int) -> None:
        self._rename({f"{version}{_RETIRED}": str(version)})

    def _rename(self, names: Mapping[str, str]) -> None:
        for model in self.models():
            for old, new in names.items():
                folder = f"{self._root}/{model}"
                if self._fs.isdir(f"{folder}/{old}"):
                    self._fs.mv(f"{folder}/{old}", f"{folder}/{new}", recursive=True)


def _assemble(folder: pathlib.Path, saved_model: pathlib.Path, extras: Mapping[str, pathlib.Path]) -> None:
    shutil.copytree(saved_model, folder)
    for name, source in extras.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)


def _listed(releases: Iterable[Release]) -> str:
    numbers = [release.version for release in releases]
    return ", ".join(map(str, sorted(numbers))) or "none"
