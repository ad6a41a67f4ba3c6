"""Files as they are opened: packed or not, in which encoding, whole or cut off."""

import bz2
import gzip
import io
import itertools
import lzma
import pathlib
import re
from collections.abc import Callable

import pyarrow as pa
import pytest

from homefeed.schemas.dataset import DatasetError, Table
from homefeed.schemas.tables import File, Format, open_file, read_file, streams
from homefeed.schemas.tables.rows import NOT_UTF_8
from tests.schemas.tables.reading import FEATURES, HEADER

TEXT = HEADER + "".join(f"用户{n},it\u2028em é,{n},1\n" for n in range(20_000))


def zst(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as packed:
        packed.write(content)
    return sink.getvalue().to_pybytes()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zst,
}


def content(path: pathlib.Path, file_format: Format = "csv", encoding: str = "utf-8") -> bytes:
    with open_file(File(str(path), file_format), encoding) as stream:
        return b"".join(iter(lambda: stream.read(100_000), b""))


@pytest.mark.parametrize("suffix", PACKERS)
def test_packed_files(tmp_path: pathlib.Path, suffix: str) -> None:
    path = tmp_path / f"a.csv{suffix}"
    packed = PACKERS[suffix](TEXT.encode())
    path.write_bytes(packed)
    assert content(path) == TEXT.encode()
    path.write_bytes(PACKERS[suffix](TEXT[:1000].encode()) + PACKERS[suffix](TEXT[1000:].encode()))
    assert content(path) == TEXT.encode()  # In two members.
    path.write_bytes(TEXT.encode())
    assert content(path) == TEXT.encode()  # Named as packed, and is not.
    for cut in (len(packed) - 1, len(packed) // 2):
        path.write_bytes(packed[:cut])
        with pytest.raises(DatasetError, match=rf"a.csv{suffix} cannot be read: .*(ended|[Tt]runcated)"):
            content(path)
    if suffix != ".zst":  # Which has a checksum only where its writer wanted one.
        path.write_bytes(packed[: len(packed) // 2] + bytes(100) + packed[len(packed) // 2 + 100 :])
        with pytest.raises(DatasetError, match=rf"a.csv{suffix} cannot be read: "):
            content(path)
    (tmp_path / "a.csv").write_bytes(packed)
    assert content(tmp_path / "a.csv") == TEXT.encode()  # Packed, and not named so.


ENCODINGS = ["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "gb18030", "cp1252", "shift_jis", "latin-1"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings(tmp_path: pathlib.Path, encoding: str) -> None:
    text = "".join(letter for letter in TEXT if letter.encode(encoding, "ignore"))
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    assert content(tmp_path / "a.csv", encoding=encoding).removeprefix(b"\xef\xbb\xbf") == text.encode()
    if encoding in ("utf-16", "utf-32", "utf-8-sig"):  # Their mark tells.
        assert content(tmp_path / "a.csv", encoding="cp1252").removeprefix(b"\xef\xbb\xbf") == text.encode()
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(text.encode(encoding)))
    assert content(tmp_path / "b.csv.gz", encoding=encoding).removeprefix(b"\xef\xbb\xbf") == text.encode()


def test_what_an_encoding_cannot_decode_costs_its_own_row_only(tmp_path: pathlib.Path) -> None:
    lines = [HEADER.encode("gb18030"), "用户,物品,1,1\n".encode("gb18030"), b"u\xff\xff,i,1,1\n", b"v,j,2,\n"]
    (tmp_path / "a.csv").write_bytes(b"".join(lines))
    (batch,) = read_file(File(str(tmp_path / "a.csv"), "csv"), Table(path="a", encoding="gb18030"), FEATURES)
    assert [row["user_id"] for row in batch.rows.to_pylist()] == ["用户", "v"]
    assert [(row.line, row.column, row.reason) for row in batch.bad] == [(3, "user_id", NOT_UTF_8)]


@pytest.mark.parametrize("start", streams.OTHERS)
@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet"])
def test_files_of_other_kinds_are_named(start: bytes, file_format: Format, tmp_path: pathlib.Path) -> None:
    what, mend = streams.OTHERS[start]
    if file_format == "parquet" and what == "Parquet":
        return
    (tmp_path / "a").write_bytes(start + bytes(100))
    if start == b"\x1f\x8b\x08":
        (tmp_path / "a").write_bytes(gzip.compress(gzip.compress(b"a\n1\n")))
    with pytest.raises(DatasetError, match=rf"a is {re.escape(f'{what}, expected {file_format}: {mend}')}"):
        content(tmp_path / "a", file_format)


def test_what_is_no_text(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.csv"
    for encoding, item in itertools.product(streams.WITHOUT_MARK, ("物品", "item_id")):
        path.write_bytes(f"user_id,{item}\r\n".encode(encoding))
        with pytest.raises(DatasetError, match=f"is not text in UTF-8, expected csv: say `encoding: {encoding}`"):
            content(path)
    path.write_bytes(b"\x80\x05\x95\x00" + bytes(30))
    with pytest.raises(DatasetError, match=r"is not text in UTF-8, expected csv: export it as CSV"):
        content(path)
    with pytest.raises(DatasetError, match=r"a.csv is something else, expected parquet: say `format`"):
        content(path, "parquet")
    path.write_bytes(b'[{"user_id": 1}]')
    with pytest.raises(DatasetError, match=r"a.csv is JSON, expected csv: say `format: jsonl`"):
        content(path)
    assert content(path, "jsonl") == path.read_bytes()
    path.write_bytes(b"")
    assert content(path) == b""


def test_files_that_cannot_be_opened(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DatasetError, match=r"none.csv cannot be read: No such file or directory"):
        content(tmp_path / "none.csv")
    with pytest.raises(DatasetError, match=r"cannot be read: Is a directory"):
        content(tmp_path)


def test_errors_of_the_reader_are_its_own(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER)
    with pytest.raises(OSError, match="no space left"), open_file(File(str(tmp_path / "a.csv"), "csv")) as stream:
        assert isinstance(stream, io.BufferedReader)
        raise OSError("no space left")
