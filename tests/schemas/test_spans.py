import pytest

from homefeed.schemas.dataset import DatasetError
from homefeed.schemas.spans import as_glob, select

PATTERN = "/logs/{SPAN}/v{VERSION}/*.csv"
PATHS = [
    "/logs/2/v1/a.csv",
    "/logs/10/v1/a.csv",
    "/logs/10/v2/b.csv",
    "/logs/10/v2/a.csv",
    "/logs/2025-01-02/v1/a.csv",
    "/logs/2025-01-01/v1/a.csv",
]


def test_spans_in_order_each_in_its_newest_version() -> None:
    assert as_glob(PATTERN) == "/logs/*/v*/*.csv"
    assert select(PATHS, PATTERN) == [
        "/logs/2/v1/a.csv",
        "/logs/10/v2/a.csv",
        "/logs/10/v2/b.csv",
        "/logs/2025-01-01/v1/a.csv",
        "/logs/2025-01-02/v1/a.csv",
    ]


@pytest.mark.parametrize(
    ("wanted", "spans"),
    [
        ("2", ["2"]),
        ("02", ["2"]),
        ("last:1", ["2025-01-02"]),
        ("3:2025-01-01", ["10", "2025-01-01"]),
        (":10", ["2", "10"]),
        ("2025-01-02:", ["2025-01-02"]),
    ],
)
def test_wanted_spans(wanted: str, spans: list[str]) -> None:
    assert list(dict.fromkeys(path.split("/")[2] for path in select(PATHS, PATTERN, wanted))) == spans


def test_no_such_span() -> None:
    with pytest.raises(DatasetError, match=r"No span 7 at /logs.*Spans there: 2, 10, 2025-01-01, 2025-01-02"):
        select(PATHS, PATTERN, "7")


def test_a_span_named_twice_is_the_same_span() -> None:
    paths = ["/1/log-1.csv", "/2/log-1.csv"]
    assert select(paths, "/{SPAN}/log-{SPAN}.csv") == ["/1/log-1.csv"]
