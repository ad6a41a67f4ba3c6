import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from homefeed.components.artifacts.coded import Coded

WORDS = st.lists(st.sampled_from([b"", b"tea", "茶".encode(), b"a\0", b"a"]), max_size=9)


@given(st.lists(WORDS, max_size=4))
def test_parts_with_dictionaries_of_their_own_are_one_column(parts: list[list[bytes]]) -> None:
    arrays = [pa.array(part, pa.binary()) for part in parts]
    found = Coded.join([array.dictionary_encode() if len(array) % 2 else array for array in arrays])
    strings = [word for part in parts for word in part]
    assert found.tolist() == strings and len(found) == len(strings)
    assert sorted(found.values) == sorted(set(strings)) and found.codes.dtype == np.int32
    assert found.counts() == {word: strings.count(word) for word in set(strings)}


def test_some_rows_by_a_mask_or_by_places() -> None:
    column = Coded.of([b"a", b"b", b"a", b"c"])
    assert column[np.array([False, True, True, False])].tolist() == [b"b", b"a"]
    assert column[np.array([3, 0])].tolist() == [b"c", b"a"]
    assert column[np.array([1])].counts() == {b"b": 1}  # Values that are in no row are not counted.


def test_numbers_of_values() -> None:
    column = Coded.of([b"a", b"", b"b", b"a"])
    found = column.find({b"a": 7, b"": 3, b"z": 9}, -1)
    assert found.tolist() == [7, 3, -1, 7] and found.dtype == np.int32
    assert column.is_in([b"a", b"z"]).tolist() == [True, False, False, True]
    assert Coded.of([]).is_in([b"a"]).tolist() == [] and Coded.all_same(b"x", 2).tolist() == [b"x", b"x"]
