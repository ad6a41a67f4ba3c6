"""Which files a path means, and what their folders say of their rows."""

import os
import pathlib

import pytest

from homefeed.schemas.columns import Feature
from homefeed.schemas.dataset import DatasetError, Table, UnreachableError
from homefeed.schemas.tables import File, find_files, local_files, read_file
from homefeed.schemas.tables.files import format_of, partitions
from tests.bucket import bucket
from tests.components.ingested import events, write_dataset
from tests.permissions import as_nobody, readable


def touch(folder: pathlib.Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def found(folder: pathlib.Path, path: str, wanted: str = "") -> list[str]:
    files = find_files(folder, Table(path=path), "items", wanted).files
    assert all(file.num_bytes == pathlib.Path(file.path).stat().st_size for file in files)
    return [pathlib.Path(file.path).relative_to(folder.absolute()).as_posix() for file in files]


def test_files_folders_and_globs(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "a.csv", "logs/b.csv", "logs/2024/c.csv", "logs/2024/01/d.csv", "logs/e.parquet/part-0.parquet")
    assert found(tmp_path, "a.csv") == found(tmp_path, "./a.csv") == found(tmp_path, "?.csv") == ["a.csv"]
    everything = ["logs/2024/01/d.csv", "logs/2024/c.csv", "logs/b.csv", "logs/e.parquet/part-0.parquet"]
    assert found(tmp_path, "logs") == found(tmp_path, "logs/") == found(tmp_path, "logs/**") == everything
    assert found(tmp_path, "logs/**/*.csv") == everything[:3]  # `**` is any number of folders, none too.
    assert found(tmp_path, "logs/*.csv") == ["logs/b.csv"]
    assert found(tmp_path, "logs/*.parquet") == everything[3:]
    assert found(tmp_path, str(tmp_path / "logs" / "2024")) == everything[:2]
    assert found(tmp_path, "logs/[ab].csv") == ["logs/b.csv"]


def test_names_with_brackets(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "data [1]"
    touch(folder, "items [2].csv", "items 2.csv", "logs/a.csv")
    assert found(folder, "items [2].csv") == ["items [2].csv"]
    assert found(folder, "logs/*.csv") == ["logs/a.csv"]


def test_hidden_files_are_skipped_and_said(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "log/_SUCCESS", "log/.part-0.csv.crc", "log/part-0.csv", "log/_temporary/0/part-1.csv", "_a.csv")
    for path in ("log", "log/*", "log/**"):
        files = find_files(tmp_path, Table(path=path), "items")
        assert [pathlib.Path(file.path).name for file in files.files] == ["part-0.csv"]
        assert set(files.skipped) >= {"log/.part-0.csv.crc", "log/_SUCCESS"}
    assert found(tmp_path, "_a.csv") == found(tmp_path, "_*.csv") == ["_a.csv"]  # Asked for.
    touch(tmp_path, "empty/_SUCCESS")
    with pytest.raises(
        DatasetError, match=r"no file at .*empty/\*; .*empty/_SUCCESS is skipped, as all whose name beg"
    ):
        find_files(tmp_path, Table(path="empty/*"), "items")


def test_links_are_followed_and_a_file_is_there_once(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "log/day=1/a.csv", "elsewhere/b.csv")
    (tmp_path / "log" / "day=2").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "log" / "again").symlink_to("day=1")
    (tmp_path / "log" / "round").symlink_to("..")
    (tmp_path / "log" / "day=1" / "same.csv").symlink_to("a.csv")  # A delivery like another one.
    everything = ["log/day=1/a.csv", "log/day=1/same.csv", "log/day=2/b.csv"]
    assert found(tmp_path, "log") == found(tmp_path, "log/**/*.csv") == everything
    assert found(tmp_path, "log/*/*.csv") == everything
    assert found(tmp_path, "log/again/*") == ["log/again/a.csv", "log/again/same.csv"]


def test_what_is_no_file_is_said(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "log/a.csv", *(f"many/{n:02d}.csv" for n in range(30)))
    (tmp_path / "empty.csv").mkdir()
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "log" / "gone.csv").symlink_to("../gone/a.csv")
    (tmp_path / "log" / ".#a.csv").symlink_to("somebody@1234")  # An editor's lock.
    os.mkfifo(tmp_path / "pipe.csv")
    for path, said in {
        "empty.csv": r"no file at .*/empty.csv; .*/empty.csv holds nothing. Mend",
        "pipe.csv": r"no file at .*/pipe.csv; it is neither a file nor a folder. Mend",
        "loop.csv": r"/loop.csv is a link to loop.csv, which leads to no file",
        "log": r"/log/gone.csv is a link to ../gone/a.csv, which leads to no file",
        "many/x.csv": r"many holds 00.csv, .*, 19.csv, …. Mend",
    }.items():
        with pytest.raises(DatasetError, match=said):
            find_files(tmp_path, Table(path=path), "items")
    assert found(tmp_path, "log/a*") == ["log/a.csv"]


def test_tables_that_are_more_than_their_files(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "delta/part-0.parquet", "delta/_delta_log/0.json")
    with pytest.raises(DatasetError, match=r"'items': delta is a Delta Lake table, .* Export it as plain Parquet"):
        find_files(tmp_path, Table(path="delta"), "items")


def test_partitions() -> None:
    path = "log/event_type=add%20to%20cart/day=2024-01-31/x=__HIVE_DEFAULT_PARTITION__/=/a=b.parquet"
    assert partitions(path) == (("event_type", "add to cart"), ("day", "2024-01-31"), ("x", None))
    assert partitions("log/a.csv") == ()


def test_partitions_below_the_data_folder_alone(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "run=3"
    touch(folder, "log/day=1/a.csv", "log/day=2/a.csv")
    files = find_files(folder, Table(path="log"), "items").files
    assert [file.partitions for file in files] == [(("day", "1"),), (("day", "2"),)]


def test_spans_in_folders_and_deeper(tmp_path: pathlib.Path) -> None:
    touch(
        tmp_path, "log/9/a.csv", "log/10/x/b.csv", "log/10/c.csv", "log/_SUCCESS", "day=9/v1/a.csv", "day=9/v2/a.csv"
    )
    assert found(tmp_path, "log/{SPAN}") == ["log/9/a.csv", "log/10/c.csv", "log/10/x/b.csv"]
    assert found(tmp_path, "log/{SPAN}/**/*.csv", "10") == ["log/10/c.csv", "log/10/x/b.csv"]
    files = find_files(tmp_path, Table(path="day={SPAN}/v{VERSION}/?.csv"), "items")
    assert files.spans == ("9",) and [file.partitions for file in files.files] == [(("day", "9"),)]
    assert found(tmp_path, "day={SPAN}/v{VERSION}/?.csv") == ["day=9/v2/a.csv"]


def test_formats_and_compression_by_name() -> None:
    table = Table(path="x")
    assert format_of("a/b.csv.gz", table) == "csv"
    assert format_of("b.part-1.NDJSON", table) == "jsonl"
    assert format_of("part-00000-1f.c000.snappy.parquet", table) == "parquet"
    assert format_of("b", Table(path="b", format="tsv")) == "tsv"
    with pytest.raises(DatasetError, match=r"cannot be told from its name. Name it with one of .csv"):
        format_of("b.data.zst", table)


def test_local_files(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path, events([("u", "A", 1)]))
    assert [file.name for file in local_files(data)] == ["interactions.csv", "items.csv", "users.csv"]
    (tmp_path / "items.csv").unlink()
    with pytest.raises(DatasetError, match=r"Table 'items': no file at .*items.csv; .* holds dataset.yaml, inter"):
        local_files(data)
    with pytest.raises(DatasetError, match=r"no file at .*/a/\*/b.csv; there is no .*/a. Mend `items.path`"):
        find_files(tmp_path, Table(path="a/*/b.csv"), "items")


def test_behind_a_uri(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.components import shop_file_system

    monkeypatch.setattr(shop_file_system, "ROOT", tmp_path)
    touch(tmp_path, "bucket/log/day=1/a.csv", "bucket/log/b.csv", "bucket/log/_SUCCESS", "bucket/items.csv")

    def names(path: str) -> list[str]:
        return [file.path for file in find_files(tmp_path, Table(path=path), "items").files]

    assert names("shop://bucket/items.csv") == ["shop://bucket/items.csv"]
    log = ["shop://bucket/log/b.csv", "shop://bucket/log/day=1/a.csv"]
    assert names("shop://bucket/log") == names("shop://bucket/log/**/*.csv") == log
    (file,) = find_files(tmp_path, Table(path="shop://bucket/log/*/a.csv"), "items").files
    assert file == File("shop://bucket/log/day=1/a.csv", "csv", len("bucket/log/day=1/a.csv"), (("day", "1"),))


@pytest.mark.parametrize(
    ("call", "status", "said"),
    [
        ("list", 403, "no list"),
        ("look", 401, "Anonymous credentials"),
        ("read", 403, "403"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_a_store_that_refuses_says_nothing_of_its_files(call: str, status: int, said: str, name: str) -> None:
    with bucket() as shop:
        shop.objects[f"log/{name}"] = b"item_id\nA\n" if name == "a.csv" else b"\x1f\x8b\x08damaged" + bytes(9)
        table = Table(path=f"gs://shop/log/{name}")

        def read() -> None:
            (file,) = find_files(pathlib.Path(), table, "items").files
            list(read_file(file, table, {"item_id": Feature(kind="id")}))

        if name == "a.csv":
            read()
        else:
            with pytest.raises(DatasetError, match=r"cannot be read|is packed by gzip") as damaged:
                read()
            assert not isinstance(damaged.value, UnreachableError)
        shop.refused["look"] = 404
        with pytest.raises(DatasetError, match=rf"no file at gs://shop/log/{name}. Mend"):
            read()
        shop.refused = {call: status}
        with pytest.raises(UnreachableError, match=f"^gs://shop/log/{name} cannot be reached: .*{said}"):
            read()


def test_a_folder_that_cannot_be_listed_is_no_empty_one(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "log/1/a.csv", "log/2/a.csv")
    (tmp_path / "log" / "2").chmod(0)
    readable(tmp_path)
    for path in ("log/{SPAN}/*.csv", "log/**/*.csv", "log/*", "log"):
        with as_nobody(), pytest.raises(UnreachableError, match="log/2 cannot be listed: Permission denied"):
            find_files(tmp_path, Table(path=path), "items")
    with as_nobody():
        assert found(tmp_path, "log/1") == ["log/1/a.csv"]
