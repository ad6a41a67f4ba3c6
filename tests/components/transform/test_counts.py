import pathlib
from collections import Counter

from homefeed.components.transform import counts


def test_counts_of_shards_are_added_up(tmp_path: pathlib.Path) -> None:
    one = {"items": Counter({"茶".encode(): 2, b"": 1}), "queries": Counter[bytes](), "pages": Counter({b"p": 1})}
    for place, counted in enumerate((one, {"items": {"茶".encode(): 3, b"A": 1}}, {})):
        counts.write(counted, tmp_path / f"{place}.arrow")
    found = counts.add_up(sorted(tmp_path.iterdir()))
    assert found == {"items": {"茶".encode(): 5, b"": 1, b"A": 1}, "pages": {b"p": 1}}
    assert found["queries"] == Counter()


def test_nobody_counted_anything() -> None:
    assert counts.add_up([]) == {}
