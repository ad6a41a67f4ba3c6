"""Makers of tables from files that users have: on a few lines with the formats' quirks, and to trained models."""

import gzip
import json
import pathlib

import pytest

from homefeed.pipeline.datasets.amazon import write_amazon
from homefeed.pipeline.datasets.book_crossing import CRAWLED, MONTH_SECONDS, write_book_crossing
from homefeed.pipeline.datasets.mind import write_mind
from homefeed.pipeline.datasets.movielens_files import write_movielens
from homefeed.schemas import tables
from homefeed.schemas.dataset import DatasetError, load_dataset
from tests.pipeline.command import homefeed
from tests.pipeline.datasets.made_up import MADE
from tests.runs import metrics_of, run_small


def read(folder: pathlib.Path, table: str) -> list[str]:
    return (folder / f"{table}.csv").read_text(encoding="utf-8").splitlines()[1:]


def write(folder: pathlib.Path, **files: str | bytes) -> pathlib.Path:
    """Files by name, with `__` for the dot."""
    for name, text in files.items():
        path = folder / name.replace("__", ".").replace("_", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_mind(tmp_path: pathlib.Path) -> None:
    news = "N1\tsports\tgolf\tOne, two\tLong\thttps://…\t[]\t[]\nN2\tnews\tworld\tTwo\t\thttps://…\t[]\t[]\n"
    day = "11/15/2019"  # Its midnight in UTC is second 1573776000.
    train = f"1\tU1\t{day} 12:00:10 AM\tN2 N1\tN1-0 N2-1\n2\tU1\t{day} 12:00:05 PM\tN2 N1\tN2-0 N1-1\n"
    dev = f"1\tU2\t{day} 1:00:00 AM\t\tN1-0\n2\tU2\t{day} 1:00:00 AM\t\tN1 N2\n"  # The last one's clicks are unknown.
    source = write(tmp_path / "train", behaviors__tsv=train, news__tsv=news).parent
    write(source / "dev", behaviors__tsv=dev, news__tsv=news)
    said = write_mind(tmp_path / "out", source)
    assert said == "4 interactions, 5 exposures, 2 items"
    # What was read before has no times: one second apart before the first page.
    expected = ["U1,N2,1573776008", "U1,N1,1573776009", "U1,N2,1573776010", "U1,N1,1573819205"]
    assert read(tmp_path / "out", "interactions") == expected
    assert read(tmp_path / "out", "exposures") == [
        "0-1,U2,N1,1573779600,0",
        "1-1,U1,N1,1573776010,0",
        "1-1,U1,N2,1573776010,1",
        "1-2,U1,N2,1573819205,0",
        "1-2,U1,N1,1573819205,1",
    ]
    assert read(tmp_path / "out", "items") == ['N1,"One, two",Long,sports|golf', "N2,Two,,news|world"]


def test_amazon(tmp_path: pathlib.Path) -> None:
    review = {"rating": 4.0, "asin": "V1", "parent_asin": "B1", "user_id": "A1", "timestamp": 1588687728923}
    described = {"parent_asin": "B1", "title": "Ünder", "features": ["a", "b"], "description": ["c"], "price": "—"}
    described |= {"main_category": "All Beauty", "categories": ["Skin | Face", "Cream"], "store": None}
    metas = [described, {"parent_asin": "B9", "title": "Nobody reviewed it"}]
    source = write(tmp_path / "source", Beauty__jsonl=json.dumps(review) + "\n")
    with gzip.open(source / "meta_Beauty.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(meta) + "\n" for meta in metas)
    assert write_amazon(tmp_path / "out", source) == "1 interactions, 1 items"
    assert read(tmp_path / "out", "interactions") == ["A1,B1,1588687728,4.0"]
    assert read(tmp_path / "out", "items") == ["B1,Ünder,a b c,Skin / Face|Cream,,"]
    write(source, Broken__jsonl="{}}\n")
    with pytest.raises(DatasetError, match=r"Broken.jsonl line 1 is no JSON"):
        write_amazon(tmp_path / "out", source)


def test_book_crossing(tmp_path: pathlib.Path) -> None:
    ratings = '"User-ID";"ISBN";"Book-Rating"\r\n"7";"0001";"0"\r\n"7";"0002";"9"\r\n'
    books = '"ISBN";"T";"A";"Y";"P";"S";"M";"L"\r\n'
    books += '"0001";"The \\"Café\\"; Rose &amp; Co";"Eco";"1980";"B";"h";"h";"h"\r\n'
    users = '"User-ID";"Location";"Age"\r\n"7";"köln, nordrhein, germany";"18"\r\n"8";"paris";NULL\r\n'
    users += '"9";"x, spain";"239"\r\n'
    files = {"BX_Book_Ratings__csv": ratings, "BX_Books__csv": books, "BX_Users__csv": users}
    source = write(tmp_path / "source", **{name: text.encode("latin-1") for name, text in files.items()})
    assert write_book_crossing(tmp_path / "out", source) == "2 interactions, 1 items, 3 users"
    found = [line.split(",") for line in read(tmp_path / "out", "interactions")]
    assert [(user, item, value) for user, item, _, value in found] == [("7", "0001", ""), ("7", "0002", "9")]
    assert all(0 <= int(second) - CRAWLED < MONTH_SECONDS for _, _, second, _ in found)
    assert read(tmp_path / "out", "items") == ['0001,"The ""Café""; Rose & Co",Eco,B']
    assert read(tmp_path / "out", "users") == ["7,18,germany", "8,,paris", "9,,spain"]


def test_movielens_with_colons(tmp_path: pathlib.Path) -> None:
    movies = "73::Misérables, Les (1995)::Drama|Musical\n".encode("latin-1")
    files = {"ratings__dat": "1::73::4::978300760\n", "movies__dat": movies, "users__dat": "1::F::18::10::48067\n"}
    source = write(tmp_path / "ml-1m", **files)
    assert write_movielens(tmp_path / "out", source) == "1 interactions, 1 items, 1 users"
    assert read(tmp_path / "out", "interactions") == ["1,73,978300760,4"]
    assert read(tmp_path / "out", "items") == ['73,"Misérables, Les (1995)",,Drama|Musical,1995']
    assert read(tmp_path / "out", "users") == ["1,18,F,10"]


def test_movielens_with_tags(tmp_path: pathlib.Path) -> None:
    files = {
        "ratings__csv": "userId,movieId,rating,timestamp\n1,73,3.5,978300760\n",
        "movies__csv": 'movieId,title,genres\n73,"Misérables, Les (1995)",Drama\n74,Untagged,(no genres listed)\n',
        "tags__csv": 'userId,movieId,tag,timestamp\n1,73,sad,1\n2,73,"Paris, France",1\n3,73,paris,1\n3,73,SAD ,1\n',
    }
    source = write(tmp_path / "ml-latest", **files)
    assert write_movielens(tmp_path / "out", source) == "1 interactions, 2 items"
    assert read(tmp_path / "out", "items") == [
        '73,"Misérables, Les (1995)","sad, paris, france, paris",Drama,1995',
        "74,Untagged,,,",
    ]


def test_movielens_100k_by_the_same_verb(movielens: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert str(movielens) in write_movielens(tmp_path, movielens)
    assert len(read(tmp_path, "interactions")) == 100_000


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"is not there: name the folder"),
        ({"readme__txt": ""}, r"holds no behaviors.tsv; it holds readme.txt"),
        ({"behaviors__tsv": ""}, r"holds no news.tsv; it holds behaviors.tsv"),
    ],
)
def test_a_folder_without_the_files(files: dict[str, str], message: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(DatasetError, match=message):
        write_mind(tmp_path / "out", write(tmp_path / "source", **files))


def test_an_archive_is_to_be_unpacked(tmp_path: pathlib.Path) -> None:
    (tmp_path / "ml-1m.zip").write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"is a file: unpack it"):
        write_movielens(tmp_path / "out", tmp_path / "ml-1m.zip")


@pytest.mark.parametrize("made", MADE)
def test_what_is_made_reads_without_a_fault(
    made: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb, make = MADE[made]
    make(tmp_path)
    assert homefeed("data", verb, "--from", str(tmp_path), "--out", str(tmp_path / "out"), "--json") == 0
    assert "research" in json.loads(capsys.readouterr().out)["licence"]
    dataset = load_dataset(tmp_path / "out")
    for name in dataset.tables:
        for batch in tables.find_table(tmp_path / "out", dataset, name).read():
            assert batch.rows.num_rows and not batch.bad and not batch.lost


@pytest.mark.slow
@pytest.mark.parametrize("made", MADE)
def test_from_the_files_to_trained_models(made: str, tmp_path: pathlib.Path) -> None:
    verb, make = MADE[made]
    (tmp_path / "source").mkdir()
    make(tmp_path / "source")
    assert homefeed("data", verb, "--from", str(tmp_path / "source"), "--out", str(tmp_path / "data")) == 0
    run_small(tmp_path / "data", tmp_path / "root", until="evaluator")
    assert metrics_of(tmp_path / "root")["test"]["retrieval + ranking"]["queries"] > 0
    report = next((tmp_path / "root").glob("**/evaluation/evaluation.json"))
    shown = json.loads(report.read_text(encoding="utf-8"))["impressions"]["test"]
    assert (shown is not None) == (verb == "mind")
