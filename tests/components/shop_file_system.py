"""`shop://…`: a file system that is none of this machine's own, as far as Beam can tell."""

import pathlib
from typing import Any

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata, FileSystem

ROOT = pathlib.Path("/nowhere")  # A test says where it really is.
PREFIX = "shop://"


def place(path: str) -> pathlib.Path:
    assert path.startswith(PREFIX), path
    return ROOT / path.removeprefix(PREFIX)


class ShopFileSystem(FileSystem):
    """As object stores are: no folders, only names with slashes in them."""

    @classmethod
    def scheme(cls) -> str:
        return "shop"

    def join(self, base: str, *parts: str) -> str:
        return "/".join([base.rstrip("/"), *parts])

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path: str) -> None:
        raise BeamIOError("there are no folders")

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Any:
        for path in sorted(ROOT.rglob("*")):
            name = PREFIX + path.relative_to(ROOT).as_posix()
            if path.is_file() and name.startswith(dir_or_prefix):
                yield FileMetadata(name, path.stat().st_size, 0.0)

    def create(self, path: str, mime_type: str = "", compression_type: str = CompressionTypes.AUTO) -> Any:
        place(path).parent.mkdir(parents=True, exist_ok=True)
        return place(path).open("wb")

    def open(self, path: str, mime_type: str = "", compression_type: str = CompressionTypes.AUTO) -> Any:
        return place(path).open("rb")

    def copy(self, sources: Any, destinations: Any) -> None:
        raise NotImplementedError

    def rename(self, sources: Any, destinations: Any) -> None:
        raise NotImplementedError

    def exists(self, path: str) -> bool:
        return place(path).is_file()

    def size(self, path: str) -> int:
        return place(path).stat().st_size

    def last_updated(self, path: str) -> float:
        return 0.0

    def checksum(self, path: str) -> str:
        return ""

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, self.size(path), 0.0)

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            for found in list(self._list(path)):
                place(found.path).unlink()
