"""Opens a table's file: unpacked, and text in UTF-8, whatever it is on the disk."""

from __future__ import annotations

import codecs
import contextlib
import io
import itertools
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, cast

from homefeed.schemas.dataset import DatasetError, UnreachableError
from homefeed.schemas.tables.files import File, is_uri, reaching

CHUNK_BYTES = 1 << 20
HEAD_BYTES = 24
UTF_8 = "utf-8"
MARKS = {
    codecs.BOM_UTF8: UTF_8,
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""What byte order marks tell, longer ones first: that of UTF-32 begins with that of UTF-16."""
WITHOUT_MARK = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
PARQUET = b"PAR1"
EXPORT, UNPACK, FETCH = "export it as CSV", "unpack it, or pack it with gzip, bzip2, xz or zstd", "fetch it once more"
OTHERS = {
    PARQUET: ("Parquet", "say `format: parquet` in dataset.yaml"),
    b"PK\x03\x04": ("a ZIP archive or a spreadsheet", EXPORT),
    b"\xd0\xcf\x11\xe0": ("an old spreadsheet", EXPORT),
    b"ORC": ("ORC", EXPORT),
    b"Obj\x01": ("Avro", EXPORT),
    b"ARROW1": ("Arrow or Feather", EXPORT),
    b"FEA1": ("Feather", EXPORT),
    b"\x93NUMPY": ("an array of NumPy", EXPORT),
    b"SQLite": ("a database of SQLite", EXPORT),
    b"%PDF": ("PDF", EXPORT),
    b"\x1f\x8b\x08": ("packed by gzip", "unpack it once"),
    b"\x1f\x9d": ("packed by compress", UNPACK),
    b"7z\xbc\xaf": ("packed by 7-Zip", UNPACK),
    b"\x04\x22\x4d\x18": ("packed by LZ4", UNPACK),
    b"version https://git-lfs": ("a pointer of Git LFS", "`git lfs pull` fetches the file"),
    b"<!DOCTYPE": ("a web page", FETCH),
    b"<!doctype": ("a web page", FETCH),
    b"<html": ("a web page", FETCH),
    b"<?xml": ("XML", EXPORT),
}
"""What files begin with that are no table of ours: what they are, and how to mend it."""
JSON = ("JSON", "say `format: jsonl` in dataset.yaml")
JSON_STARTS = (b'{"', b'[{"')


@contextlib.contextmanager
def open_file(file: File, encoding: str = UTF_8) -> Iterator[BinaryIO]:
    """Opens a file for reading. What it holds tells how it is packed, not its name.

    Args:
        file: where it is, and its format.
        encoding: of text; a byte order mark overrules it. What it cannot decode comes as bytes that are no UTF-8.

    Raises:
        DatasetError: it cannot be read, is of another format, or breaks off.
    """
    with contextlib.ExitStack() as stack:
        with _telling(file.path):
            stream = _prepare(stack, file, encoding)
        yield stream


def _prepare(stack: contextlib.ExitStack, file: File, encoding: str) -> BinaryIO:
    stored: BinaryIO = stack.enter_context(_open(file.path))
    head = stored.read(HEAD_BYTES)
    stored.seek(0)
    if file.format == "parquet":
        if not head.startswith(PARQUET):
            raise _wrong(file, *(_what(head) or ("something else", "say `format` in dataset.yaml")))
        return stored
    opener = next((opener for magic, opener in _unpackers().items() if head.startswith(magic)), None)
    if opener is None:
        first, chunks = head, _chunks(stored, file.path)
    else:
        packed = _chunks(stack.enter_context(opener(stored)), file.path)
        first = next(packed, b"")
        chunks = itertools.chain([first], packed)
    encoding = _encoding(file, first[:HEAD_BYTES], encoding)
    if opener is None and encoding == UTF_8:
        return stored
    chunks = chunks if encoding == UTF_8 else _recoded(chunks, encoding, file)
    return cast(BinaryIO, io.BufferedReader(_Chunks(chunks), CHUNK_BYTES))


def _open(path: str) -> BinaryIO:
    if not is_uri(path):
        return open(path, "rb")
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    with reaching(path):
        stored = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return cast(BinaryIO, io.BufferedReader(_Remote(stored, path), CHUNK_BYTES))


def _unpackers() -> dict[bytes, Callable[[BinaryIO], Any]]:
    """By what packed files begin with. These, unlike Beam's, know a file that breaks off."""
    import bz2
    import gzip

    import pyarrow as pa

    return {
        b"\x1f\x8b\x08": lambda stored: gzip.GzipFile(fileobj=stored),
        b"BZh": bz2.BZ2File,
        b"\xfd7zXZ\x00": lzma.LZMAFile,
        b"\x28\xb5\x2f\xfd": lambda stored: pa.CompressedInputStream(pa.PythonFile(stored, "r"), "zstd"),
    }


def _encoding(file: File, head: bytes, declared: str) -> str:
    """The codec's own name.

    Raises:
        DatasetError: the file is no text.
    """
    other = JSON if file.format != "jsonl" and head.startswith(JSON_STARTS) else _what(head)
    if other is not None:
        raise _wrong(file, *other)
    encoding = next((name for mark, name in MARKS.items() if head.startswith(mark)), declared)
    name = codecs.lookup(encoding).name
    if name == UTF_8 and b"\0" in head:
        raise _wrong(file, "not text in UTF-8", _decoded_by(head))
    return UTF_8 if name == "utf-8-sig" else name


def _what(head: bytes) -> tuple[str, str] | None:
    return next((other for start, other in OTHERS.items() if head.startswith(start)), None)


def _wrong(file: File, what: str, mend: str) -> DatasetError:
    return DatasetError(f"{file.path} is {what}, expected {file.format}: {mend}.")


def _decoded_by(head: bytes) -> str:
    """How to mend what holds NUL bytes: by the encoding in which it is text, if there is one."""
    head = head[: len(head) // 4 * 4]
    texts = {encoding: head.decode(encoding, "replace") for encoding in WITHOUT_MARK}
    found = [
        (sum(map(str.isascii, text)), encoding)  # The bytes of ASCII in a wrong order are Chinese.
        for encoding, text in texts.items()
        if "\ufffd" not in text and all(letter.isprintable() or letter.isspace() for letter in text)
    ]
    if found:
        return f"say `encoding: {max(found)[1]}` in dataset.yaml"
    return EXPORT


@contextlib.contextmanager
def _telling(path: str) -> Iterator[None]:
    """Says which file cannot be read."""
    try:
        yield
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        # A stream that is damaged, or not packed as it says, comes without a number.
        kind = UnreachableError if isinstance(error, OSError) and error.errno is not None else DatasetError
        raise kind(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _chunks(stream: BinaryIO, path: str) -> Iterator[bytes]:
    with _telling(path):
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


def _recoded(chunks: Iterable[bytes], encoding: str, file: File) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("homefeed-mark")
    for chunk in itertools.chain(chunks, [b""]):
        try:
            text = decoder.decode(chunk, not chunk)
        except UnicodeError as error:  # Of the whole: a byte order mark that is not there, an odd number of bytes.
            raise DatasetError(
                f"{file.path} is not text in {encoding} (`encoding` in dataset.yaml): {error}"
            ) from error
        yield text.encode("utf-8", "surrogatepass")


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Stands lone surrogates, which UTF-8 does not have, for the bytes that cannot be decoded."""
    assert isinstance(error, UnicodeDecodeError)
    wrong = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + byte) for byte in wrong), error.end


codecs.register_error("homefeed-mark", _mark)


class _Remote(io.RawIOBase):
    """A stream of an object store. What its library raises, of whatever kind, is about the way there."""

    def __init__(self, stored: BinaryIO, path: str):
        self._stored, self._path = stored, path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with reaching(self._path):
            found = self._stored.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with reaching(self._path):
            self._stored.seek(offset, whence)
            return self._stored.tell()

    def close(self) -> None:
        if not self.closed:
            with reaching(self._path):
                self._stored.close()
        super().close()


class _Chunks(io.RawIOBase):
    """A stream of chunks."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks, self._rest = chunks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count
