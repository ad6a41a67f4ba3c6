import fnmatch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.schemas.dataset import DatasetError
from homefeed.schemas.spans import as_glob, is_wanted, names, select

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


DELIVERIES = st.sets(st.tuples(st.integers(0, 12), st.integers(1, 3), st.sampled_from("ab")), min_size=1, max_size=12)


@given(DELIVERIES, st.integers(0, 12), st.integers(0, 12), st.integers(1, 4))
@settings(max_examples=60)
def test_of_any_deliveries_the_wanted_ones_are_read(
    deliveries: set[tuple[int, int, str]], low: int, high: int, count: int
) -> None:
    paths = {place: "/logs/{}/v{}/{}.csv".format(*place) for place in deliveries}
    assert all(fnmatch.fnmatch(path, as_glob(PATTERN)) for path in paths.values())
    spans = sorted({span for span, _, _ in deliveries})
    assert names(paths.values(), PATTERN) == [str(span) for span in spans]
    newest = {span: max(version for other, version, _ in deliveries if other == span) for span in spans}
    for wanted, chosen in {
        "": spans,
        str(low): [span for span in spans if span == low],
        f"{low}:{high}": [span for span in spans if low <= span <= high],
        f"{low}:": [span for span in spans if span >= low],
        f":{high}": [span for span in spans if span <= high],
        f"last:{count}": spans[-count:],
        f"{low}, last:1": sorted({span for span in spans if span == low} | {spans[-1]}),
    }.items():
        assert is_wanted(wanted)
        kept = sorted(place for place in deliveries if place[0] in chosen and place[1] == newest[place[0]])
        if kept:
            assert select(paths.values(), PATTERN, wanted) == [paths[place] for place in kept]
        else:
            with pytest.raises(DatasetError, match=f"No span {wanted} at"):
                select(paths.values(), PATTERN, wanted)


@pytest.mark.parametrize("wanted", ["last:", "last:0", "last:-1", "1:2:3", ":", ",", "7,,8", "last:2:3"])
def test_what_names_no_span_is_refused_before_anything_is_read(wanted: str) -> None:
    assert not is_wanted(wanted)


def test_without_a_span_in_its_name_every_file_is_read() -> None:
    assert select(["/b.csv", "/a.csv"], "/*.csv", "last:1") == ["/a.csv", "/b.csv"]
    assert names(["/b.csv"], "/*.csv") == []
