import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.table_rows import item_cards
from tests.components.ragged import numbers, strings


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_number_is_shown_as_short_as_it_was_written(price: float) -> None:
    cards = item_cards(
        example_io.record_batch({"item_id": strings(["茶"], ["B"]), "price": numbers(np.float32, [14.38], [price])})
    )
    assert json.dumps(cards["茶"]) == '{"price": 14.38}'
    assert np.float32(cards["B"]["price"]) == np.float32(price)


def test_a_card_has_what_can_be_read() -> None:
    columns = {
        "item_id": strings(["A"]),
        "categories": strings(["tea", "green"]),
        "vector": numbers(np.float32, [0.1, 0.2]),
        "stock": numbers(np.int64, [2**40]),
        "brand": strings([]),
    }
    assert item_cards(example_io.record_batch(columns)) == {"A": {"categories": ["tea", "green"], "stock": 2**40}}
