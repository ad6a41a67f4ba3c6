"""The published versions of the models: push, promote, roll back, and the files that a model server reads.

    <serving_dir>/<model>/<version>/    one SavedModel; all models of a release have the same version
    <serving_dir>/<model>/4.retired/    a version that was taken back: servers pass over it, `promote` brings it back
    <serving_dir>/model.config          ModelServerConfig: every model with its labels `stable` and `canary`
    <serving_dir>/mounted.config        the same, for containers that see the folder at another place (`mount`)
    <serving_dir>/batching.config       BatchingParameters

A push copies all its models under hidden names and renames them last. What a push that died has left, the next change
takes away: hidden copies, and versions above every label, which nobody released. One process at a time may change
a local folder; a lock file holds off the others.

Servers keep the two newest versions loaded, so a rollback costs no load. A label is moved in `model.config` at once
and takes effect when the version is loaded: a server refuses it until then, goes on with the old labels, and asks
again at its next poll. While pushes come faster than a load, homefeed's server ends each load that it began, and the
label goes from one loaded version to the next, past those in between. A request without a label gets the newest
version, the canary included.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from homefeed.schemas.errors import HomefeedError
from homefeed.serving.audit import Trail, What, operator
from homefeed.serving.releases.folder import ReleaseFolder
from homefeed.serving.releases.server_config import (
    BATCHING,
    BATCHING_FILE,
    CANARY,
    CONFIG_FILE,
    MODELS_DIR,
    MOUNTED_FILE,
    STABLE,
    model_config,
)

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"


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
    """What lies under a serving directory.

    Args:
        serving_dir: a local folder, or a URL of an object store (`s3://…`, `gs://…`, with the fsspec package for it).
    """

    def __init__(self, serving_dir: str | pathlib.Path):
        text = str(serving_dir)
        try:
            self._folder = ReleaseFolder(text if "://" in text else str(pathlib.Path(text).resolve()))
        except (ImportError, ValueError) as error:  # No such scheme, or no package for it.
            raise ReleaseError(f"{text} cannot be opened: {error}") from error
        self.root = self._folder.root

    def models(self) -> list[str]:
        """Names of the models that have any version."""
        return self._folder.models()

    def versions(self) -> list[Release]:
        """All versions, newest first."""
        stable, canary = self._labelled(STABLE), self._labelled(CANARY)
        models: dict[int, list[str]] = {}
        retired = set()
        for name in self.models():
            for version, is_retired in self._folder.numbers(name).items():
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
        self.stable()
        with self._changing():
            self._write_config(self.models(), self.stable(), self._labelled(CANARY))

    def mount(self, models_dir: str) -> None:
        """Says where containers see this folder, and writes the servers' files anew.

        Raises:
            ReleaseError: nothing was pushed yet.
        """
        self.stable()
        self._folder.write(MOUNTED_FILE, model_config({"": models_dir}).encode())
        self.configure()

    def push(
        self,
        models: Mapping[str, pathlib.Path],
        *,
        canary: bool = False,
        extras: Mapping[str, Mapping[str, pathlib.Path]] | None = None,
    ) -> int:
        """Publishes SavedModels under one new version; a reader sees nothing of it before it is whole.

        On an object store, which cannot rename a folder, every `saved_model.pb` is written last: a version without it
        is none, and a server that tries one too early tries again.

        Args:
            models: model name → SavedModel folder, in the order in which they appear.
            canary: give it the label `canary` and leave `stable` where it is.
            extras: model name → path inside the version → file that is added to it.

        Returns:
            The version.
        """
        with self._changing():
            self._sweep()
            known = [release.version for release in self.versions()]
            stable, version = self._labelled(STABLE), max(known, default=0) + 1
            is_canary = canary and stable is not None
            noting = self._noting("push", version, "", canary=is_canary, models=sorted(models))
            with noting:
                with self._folder.assembled(models, extras or {}) as show:
                    if (waiting := self._labelled(CANARY)) is not None:
                        # Servers hold two versions: the new one and `stable`.
                        self._write_config(self.models(), stable, None)
                        self._folder.retire([waiting])
                    show(version)
                names = sorted({*self.models(), *models})
                self._write_config(names, stable if is_canary else version, version if is_canary else None)
        return version

    def promote(self, version: int | None = None, *, settle_seconds: float = 0.0, who: str = "") -> int:
        """Makes a version the stable one, and the newest that servers see; newer ones are retired.

        Args:
            version: which; by default the canary.
            settle_seconds: pause between moving the labels and retiring newer versions. Servers that read the
                configuration within it never hold a label without a version.
            who: asks for it, for the audit trail; "": the user of this machine.

        Raises:
            ReleaseError: there is no canary, or no such version.
            AuditError: nothing is changed, because it cannot be written into the audit trail.
        """
        with self._changing():
            return self._promote(version, settle_seconds, "promote", who)

    def _promote(self, version: int | None, settle_seconds: float, what: What, who: str) -> int:
        chosen = self._labelled(CANARY) if version is None else version
        known = {release.version: release for release in self.versions()}
        there_are = f"there are {_listed(known.values())}"
        if chosen is None:
            raise ReleaseError(f"no version has the label {CANARY}; say which one to promote, {there_are}")
        if chosen not in known:
            raise ReleaseError(f"version {chosen} does not exist in {self.root}; {there_are}")
        newer = [number for number, release in known.items() if number > chosen and release.state != "retired"]
        with self._noting(what, chosen, who, before=self._labelled(STABLE), retired=newer):
            if known[chosen].state == "retired":
                self._folder.restore(chosen)
            self._write_config(self.models(), chosen, None)
            if newer:
                time.sleep(settle_seconds)
                self._folder.retire(newer)
        return chosen

    def rollback(self, *, settle_seconds: float = 0.0, who: str = "") -> int:
        """Takes back the newest step: a canary that is out, or else the stable version, for the one before.

        Args:
            settle_seconds, who: see `promote`.

        Raises:
            ReleaseError: there is no earlier version.
            AuditError: see `promote`.
        """
        with self._changing():
            stable = self._labelled(STABLE)
            if self._labelled(CANARY) is not None:
                return self._promote(stable, settle_seconds, "roll back", who)
            known = self.versions()
            earlier = [r.version for r in known if r.state != "retired" and stable is not None and r.version < stable]
            if not earlier:
                raise ReleaseError(f"no version before {stable} to go back to; there are {_listed(known)}")
            return self._promote(max(earlier), settle_seconds, "roll back", who)

    def _noting(self, what: What, version: int, who: str, **details: Any) -> contextlib.AbstractContextManager[Any]:
        """A block that changes something: in the audit trail, which an object store has no place for."""
        if not self._folder.is_local:
            return contextlib.nullcontext()
        return Trail.beside(self.root).change(what, who or operator(), subject=str(version), **details)

    def put_file(self, path: pathlib.Path, name: str) -> str:
        """Publishes a file beside the models, in one step; gives its place."""
        with self._changing():
            self._folder.write(name, path.read_bytes())
        return f"{self.root}/{name}"

    def path(self, model: str, version: int) -> str:
        """Where a version lies."""
        return f"{self.root}/{model}/{version}"

    def _labelled(self, label: str) -> int | None:
        """Which version has a label; without a configuration the newest version is the stable one."""
        config = self._read_config(CONFIG_FILE)
        if config is None:
            numbers = (self._folder.numbers(name) for name in self.models())
            versions = [v for of_model in numbers for v, retired in of_model.items() if not retired]
            return max(versions, default=None) if label == STABLE else None
        for entry in config.model_config_list.config:
            if label in entry.version_labels:
                return int(entry.version_labels[label])
        return None

    def _read_config(self, name: str) -> Any:
        from google.protobuf import text_format

        from homefeed.serving.model_server.messages import ModelServerConfig

        text = self._folder.read(name)
        return None if text is None else text_format.Parse(text, ModelServerConfig())

    def _write_config(self, models: Sequence[str], stable: int | None, canary: int | None) -> None:
        labels = {name: version for name, version in ((STABLE, stable), (CANARY, canary)) if version is not None}
        config = model_config({name: f"{self.root}/{name}" for name in models}, labels)
        mounted = model_config({name: f"{self._mounted_at()}/{name}" for name in models}, labels)
        self._folder.write(BATCHING_FILE, BATCHING.encode())
        self._folder.write(MOUNTED_FILE, mounted.encode())
        self._folder.write(CONFIG_FILE, config.encode())

    def _mounted_at(self) -> str:
        """Where containers see this folder: as the file says that they read."""
        config = self._read_config(MOUNTED_FILE)
        if config is None:
            return MODELS_DIR
        entry = config.model_config_list.config[0]
        return str(entry.base_path).removesuffix(f"/{entry.name}")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """One change of a local folder at a time, after what an earlier one that died has left was taken away."""
        with self._folder.locked():
            if self._folder.is_local:  # An object store has no lock: another push may be under way.
                self._sweep()
            yield

    def _sweep(self) -> None:
        """Takes back what a push that died has left: versions above every label."""
        labelled = [version for version in (self._labelled(STABLE), self._labelled(CANARY)) if version is not None]
        offered = [release.version for release in self.versions() if release.state != "retired"]
        self._folder.retire([version for version in offered if labelled and version > max(labelled)])


def _listed(releases: Iterable[Release]) -> str:
    numbers = [release.version for release in releases]
    return ", ".join(map(str, sorted(numbers))) or "none"
