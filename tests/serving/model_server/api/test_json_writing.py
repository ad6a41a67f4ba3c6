"""How tensors are written as JSON."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from homefeed.serving.model_server.api.json_writing import number_json
from tests.serving.model_server.api.rest_client import HALF, TYPES, Rest


def test_row_form_with_several_outputs_gives_an_object_a_row_and_bytes_as_b64(rest: Rest) -> None:
    answer = rest.post(
        HALF, {"signature_name": "shout", "instances": ["ab", {"b64": base64.b64encode(b"c").decode()}]}
    )
    assert answer == {
        "predictions": [
            {"length": 2, "raw_bytes": {"b64": "QUI="}, "upper": "AB"},
            {"length": 1, "raw_bytes": {"b64": "Qw=="}, "upper": "C"},
        ]
    }


def test_words_for_numbers_that_are_not_finite(rest: Rest) -> None:
    _, _, answer = rest.send("POST", HALF, b'{"inputs": [NaN, Infinity, -Infinity, 2]}')
    assert answer == b'{"outputs": [NaN, Infinity, -Infinity, 3.0]}'


def test_row_form_needs_a_common_first_dimension(rest: Rest) -> None:
    total = {"signature_name": "multiply", "instances": [{"a": [1, 2], "b": [1]}, {"a": [1, 2], "b": [1]}]}
    assert rest.error(400, "POST", HALF, total) == "Tensor name: total has no shape information"
    uneven = {"signature_name": "uneven", "instances": [1.0, 2.0]}
    assert "Tensor name: b has inconsistent batch size: 4" in rest.error(400, "POST", TYPES, uneven)


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (3.0, np.float32, "3.0"),
        (9e6, np.float32, "9e+06"),
        (0.1, np.float32, "0.1"),
        (1 / 3, np.float32, "0.333333343"),
        (1 / 3, np.float64, "0.33333333333333331"),
        (123456789.0, np.float64, "123456789.0"),
        (-0.0, np.float32, "-0.0"),
        (1e-45, np.float32, "1.4013e-45"),
    ],
)
def test_numbers_carry_a_point_or_an_exponent_and_read_back_the_same(value: float, dtype: Any, text: str) -> None:
    value = float(dtype(value))
    assert number_json(value, dtype) == text
    assert dtype(json.loads(text)) == dtype(value)
