"""The files of a serving directory, in a local folder or an object store: what each change of them looks like."""

from __future__ import annotations

import contextlib
import fcntl
import filecmp
import functools
import os
import pathlib
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping

from homefeed.schemas.scratch import remove, replacing, scratch
from homefeed.serving.model_server.loading.sources import RETIRED

_HIDDEN = ".tmp"
_SAVED_MODEL = "saved_model.pb"
_LOCK = ".lock"
_WORTH_A_LINK = 1 << 16  # Bytes.


class ReleaseFolder:
    """Models by number, and the files beside them.

    Args:
        place: an absolute local folder, or a URL of an object store.

    Raises:
        ImportError: there is no package for such URLs.
        ValueError: there are no such URLs.
    """

    def __init__(self, place: str):
        import fsspec

        self._fs, self._root = fsspec.url_to_fs(place)
        self.is_local = "file" in self._fs.protocol
        # What servers see as base_path; fsspec's own form of it may lack the scheme.
        self.root = self._root if self.is_local else place.rstrip("/")

    def models(self) -> list[str]:
        """Names of the models that have any version."""
        if not self._fs.isdir(self._root):
            return []
        folders = (entry for entry in self._fs.ls(self._root, detail=True) if entry["type"] == "directory")
        names = sorted(entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in folders)
        return [name for name in names if self.numbers(name)]

    def numbers(self, model: str) -> dict[int, bool]:
        """Version → whether it is retired."""
        folder = f"{self._root}/{model}"
        if not self._fs.isdir(folder):
            return {}
        names = (entry.rstrip("/").rsplit("/", 1)[-1] for entry in self._fs.ls(folder, detail=False))
        numbers = {name.removesuffix(RETIRED): name.endswith(RETIRED) for name in names}
        return {int(number): retired for number, retired in numbers.items() if number.isdecimal()}

    def read(self, name: str) -> str | None:
        """A text file beside the models; None: there is none."""
        path = f"{self._root}/{name}"
        return self._fs.cat_file(path).decode() if self._fs.isfile(path) else None

    def write(self, name: str, data: bytes) -> None:
        """A file beside the models, in one step."""
        self._fs.makedirs(self._root, exist_ok=True)
        if self.is_local:
            with replacing(pathlib.Path(self._root) / name) as staging:
                staging.write_bytes(data)
        else:
            self._fs.pipe_file(f"{self._root}/{name}", data)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One change of a local folder at a time, without the hidden files of one that died."""
        self._fs.makedirs(self._root, exist_ok=True)
        if not self.is_local:
            yield
            return
        folder = pathlib.Path(self._root)
        with (folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in (*folder.glob(f".*{_HIDDEN}"), *folder.glob(f"*/.*{_HIDDEN}")):
                remove(left)
            yield

    @contextlib.contextmanager
    def assembled(
        self, models: Mapping[str, pathlib.Path], extras: Mapping[str, Mapping[str, pathlib.Path]]
    ) -> Iterator[Callable[[int], None]]:
        """Copies of SavedModels with their extras, hidden from servers; gives what shows them all under a number."""
        with scratch() as elsewhere, contextlib.ExitStack() as stack:
            parent = pathlib.Path(self._root) if self.is_local else elsewhere
            hidden = {name: parent / name / f".{uuid.uuid4().hex}{_HIDDEN}" for name in models}
            for name, saved_model in models.items():
                stack.callback(remove, hidden[name])
                _assemble(hidden[name], saved_model, extras.get(name, {}))
            if self.is_local:
                _link_equal_files(hidden.values())
            yield functools.partial(self._rename_all if self.is_local else self._upload, hidden)

    def _rename_all(self, hidden: Mapping[str, pathlib.Path], version: int) -> None:
        for folder in hidden.values():
            folder.rename(folder.with_name(str(version)))

    def _upload(self, hidden: Mapping[str, pathlib.Path], version: int) -> None:
        files = [(name, folder, path) for name, folder in hidden.items() for path in sorted(folder.rglob("*"))]
        for name, folder, path in sorted(files, key=lambda file: file[2].name == _SAVED_MODEL):
            target = f"{self._root}/{name}/{version}/{path.relative_to(folder).as_posix()}"
            if path.is_file():
                self._fs.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
                self._fs.put_file(str(path), target)

    def retire(self, versions: Iterable[int]) -> None:
        """Servers pass over them from now on."""
        for version in versions:
            self._rename(str(version), f"{version}{RETIRED}")

    def restore(self, version: int) -> None:
        """Servers find it again."""
        self._rename(f"{version}{RETIRED}", str(version))

    def _rename(self, old: str, new: str) -> None:
        for model in self.models():
            folder = f"{self._root}/{model}"
            if self._fs.isdir(f"{folder}/{old}"):
                self._fs.mv(f"{folder}/{old}", f"{folder}/{new}", recursive=True)


def _assemble(folder: pathlib.Path, saved_model: pathlib.Path, extras: Mapping[str, pathlib.Path]) -> None:
    shutil.copytree(saved_model, folder)
    for name, source in extras.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)


def _link_equal_files(folders: Iterable[pathlib.Path]) -> None:
    """Makes a large file that equals an earlier one a second name of it, where the file system has such names: tables
    that models have in common lie on the disk once."""
    by_size: dict[int, list[pathlib.Path]] = {}
    for file in (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()):
        size = file.stat().st_size
        if size < _WORTH_A_LINK:
            continue
        earlier = by_size.setdefault(size, [])
        equal = next((one for one in earlier if filecmp.cmp(one, file, shallow=False)), None)
        if equal is None:
            earlier.append(file)
            continue
        with contextlib.suppress(OSError), replacing(file) as staging:
            os.link(equal, staging)
