"""How JSON becomes tensors: row and column form, types, and the errors."""

import math
from typing import Any

import numpy as np
import pytest

from tests.serving.model_server.api.rest_client import HALF, TYPES, Rest


def test_row_form_with_one_input_and_one_output_gives_bare_rows(rest: Rest) -> None:
    assert rest.post(HALF, {"instances": [[2.0], [6]]}) == {"predictions": [[3.0], [5.0]]}


def test_row_form_takes_the_one_input_by_name_too(rest: Rest) -> None:
    assert rest.post(HALF, {"instances": [{"x": [2.0]}, {"x": [6]}]}) == {"predictions": [[3.0], [5.0]]}


def test_row_form_without_inner_axis(rest: Rest) -> None:
    assert rest.post(HALF, {"instances": [2.0, 6.0]}) == {"predictions": [3.0, 5.0]}


def test_column_form(rest: Rest) -> None:
    assert rest.post(HALF, {"inputs": [[2.0], [6.0]]}) == {"outputs": [[3.0], [5.0]]}
    assert rest.post(HALF, {"inputs": {"x": [[2.0]], "surplus": "ignored"}}) == {"outputs": [[3.0]]}
    assert rest.post(HALF, {"inputs": 2.0}) == {"outputs": 3.0}


def test_column_form_with_several_inputs_and_outputs(rest: Rest) -> None:
    answer = rest.post(HALF, {"signature_name": "multiply", "inputs": {"a": [[1, 2]], "b": [[1, 2, 3], [4, 5, 6]]}})
    # 1*1 + 2*4 = 9, 1*2 + 2*5 = 12, 1*3 + 2*6 = 15
    assert answer == {"outputs": {"product": [[9.0, 12.0, 15.0]], "total": 36.0}}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"{", "JSON Parse error: "),
        (b'{"a": 1,]', "at offset: 8"),
        (b"[1]", "Is not object"),
        (b'{"instances": "\xff"}', "JSON Parse error: Invalid encoding in string. at offset: 15"),
        (b"[" * 100_000, "JSON Parse error: "),
        (b'{"instances": 1' + b"0" * 10_000 + b"}", "JSON Parse error: "),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"instances": [[1]], "inputs": [[1]]}, "expecting only one of 'inputs' or 'instances'"),
        ({"instances": 1}, "Expecting 'instances' to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"signature_name": 1, "instances": [[1]]}, "'signature_name' key must be a string value."),
        ({"signature_name": "no", "instances": [[1]]}, 'Serving signature name: "no" not found in signature def'),
        ({"instances": [[1], [1, 2]]}, "element: 1 key: x of 'instances' list. Error: INVALID_ARGUMENT: "),
        ({"instances": [[1], [1, 2]]}, "Expecting tensor size: 1 but got: 2"),
        ({"instances": [[1, 2], [[1, 2]]]}, "Expecting shape [2] but got: [1,2]"),
        ({"instances": [[[1], [1, 2]]]}, "Encountered list at unexpected size: "),
        ({"instances": [[1, [2]]]}, "INVALID_ARGUMENT: JSON Value: [2] Type: Array is not of expected type: float"),
        ({"instances": [["a"]]}, 'JSON Value: "a" Type: String is not of expected type: float'),
        ({"instances": [[True]]}, "JSON Value: true Type: True is not of expected type: float"),
        ({"instances": [{"z": 1}]}, "keys must be equal to: x"),
        ({"instances": [{"x": 1}, 2]}, "mix"),
        ({"signature_name": "multiply", "instances": [1]}, "expecting list of objects"),
        ({"signature_name": "multiply", "instances": [{"a": 1}]}, "keys must be equal to: a,b"),
        ({"signature_name": "multiply", "inputs": [1]}, "expecting an object"),
        ({"signature_name": "multiply", "inputs": {"a": 1}}, "Missing named input: b in 'inputs' object."),
        ({"signature_name": "shout", "instances": [{"b64": "?"}]}, "not a valid base64"),
        ({"signature_name": "shout", "instances": [1]}, "JSON Value: 1 Type: Number is not of expected type: string"),
        # An op that refuses says so as over gRPC.
        ({"signature_name": "multiply", "inputs": {"a": [[1, 2, 3]], "b": [[1], [2]]}}, "Matrix size-incompatible"),
    ],
)  # fmt: skip
def test_faulty_bodies_are_400_and_say_what_is_wrong(rest: Rest, body: Any, words: str) -> None:
    assert words in rest.error(400, "POST", HALF, body)


def test_what_follows_the_object_is_ignored(rest: Rest) -> None:
    assert rest.post(HALF, b' {"instances": [[2]]} trailing') == {"predictions": [[3.0]]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("float32", [1.5, -2.0]),
        ("float64", [0.1, 1e300]),
        ("int8", [-128, 127]),
        ("int32", [-(2**31), 2**31 - 1]),
        ("int64", [-(2**63), 2**63 - 1]),
        ("uint8", [0, 255]),
        ("bool", [True, False]),
        ("string", ["中文", 'quote " and \n']),
    ],
)
def test_each_type_comes_back_as_it_went(rest: Rest, name: str, value: Any) -> None:
    assert rest.post(TYPES, {"signature_name": name, "inputs": value}) == {"outputs": value}


@pytest.mark.parametrize(
    ("name", "value"),
    [("int32", 2.0), ("int32", 2**31), ("int8", -129), ("uint8", -1), ("bool", 1), ("int64", True), ("string", True)],
)
def test_values_of_another_type_are_refused(rest: Rest, name: str, value: Any) -> None:
    error = rest.error(400, "POST", TYPES, {"signature_name": name, "inputs": [value]})
    assert f"is not of expected type: {name}" in error


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"[NaN, Infinity, -Infinity]", [math.nan, math.inf, -math.inf]),
        (b"[-NaN, Inf, -Inf]", [math.nan, math.inf, -math.inf]),
        (b"[null, 1]", [math.nan, 1.0]),
        (b"[1, 2.5, 3e2, 16777215]", [1.0, 2.5, 300.0, 16777215.0]),
        # Beyond 64 bits an integer is read as a decimal.
        (b"[36893488147419103232]", [2.0**65]),
    ],
)
def test_numbers_that_a_float_takes(rest: Rest, text: bytes, value: Any) -> None:
    answer = rest.post(TYPES, b'{"signature_name": "float32", "inputs": ' + text + b"}")
    np.testing.assert_array_equal(np.array(answer["outputs"], np.float32), value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # 2^24 is the first whole number of which a float does not hold the next.
        (b"16777216", "to float without loss of precision"),
        (b"1e39", "to float without loss of precision"),
        (b"1" + b"0" * 400, "to float without loss of precision"),
        (b"1e400", "JSON Parse error: "),
        (b"1" + b"0" * 400 + b".5", "JSON Parse error: "),
        (b"1" + b"0" * 5000, "JSON Parse error: "),
        (b"true", "is not of expected type: float"),
        (b"[" * 40 + b"1" + b"]" * 40, "A list is nested 40 deep; at most 31 levels are taken."),
    ],
)
def test_numbers_that_a_float_does_not_take(rest: Rest, text: bytes, words: str) -> None:
    body = b'{"signature_name": "float32", "inputs": ' + text + b"}"
    assert words in rest.error(400, "POST", TYPES, body)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b'{"inputs": [[]]}', {"outputs": [[]]}),
        (b'{"inputs": []}', {"outputs": []}),
        (b'{"instances": [[], []]}', {"predictions": [[], []]}),
        (b'{"instances": [{"v": [[]]}]}', {"predictions": [[[]]]}),
    ],
)
def test_lists_of_nothing(rest: Rest, body: bytes, answer: Any) -> None:
    assert rest.post(TYPES, body[:1] + b'"signature_name": "string", ' + body[1:]) == answer


@pytest.mark.parametrize("packed", ["aGVsbG8=", "aGVsbG8", "aGVs\nbG8=", " aGVs\r\n bG8 ", "aGVsbG8\n="])
def test_base64_with_and_without_padding_and_breaks(rest: Rest, packed: str) -> None:
    answer = rest.post(TYPES, {"signature_name": "string", "inputs": [{"b64": packed}]})
    assert answer == {"outputs": ["hello"]}
    examples = {"signature_name": "classify_x_to_y", "examples": [{"x": 2.0, "s": {"b64": packed}}]}
    assert rest.post("/v1/models/tf1:classify", examples) == {"results": [[["", 3.0]]]}


@pytest.mark.parametrize("packed", ["aGVsbG8==", "a", "aGVsbG8-", "=", "a=GVsbG8", "\u00e4GVs"])
def test_what_is_no_base64(rest: Rest, packed: str) -> None:
    body = {"signature_name": "string", "inputs": [{"b64": packed}]}
    assert "not a valid base64" in rest.error(400, "POST", TYPES, body)


def test_of_equal_keys_the_first_counts(rest: Rest) -> None:
    assert rest.post(HALF, b'{"instances": [[2]], "instances": [[4]], "inputs2": 1}') == {"predictions": [[3.0]]}
    assert rest.post(HALF, b'{"instances": [{"x": [2], "x": [4]}]}') == {"predictions": [[3.0]]}


@pytest.mark.parametrize(
    "body",
    [
        rb'{"signature_name": "\ud800", "inputs": [1]}',
        rb'{"signature_name": "string", "inputs": ["\udc00\ud800"]}',
        rb'{"signature_name": "string", "inputs": ["\\\uD83D\u0041"]}',
        rb'{"\ud800": 1, "signature_name": "string", "inputs": ["a"]}',
    ],
)
def test_half_a_character_is_none(rest: Rest, body: bytes) -> None:
    assert "The surrogate pair in string is invalid." in rest.error(400, "POST", TYPES, body)


def test_whole_characters_may_be_written_in_halves(rest: Rest) -> None:
    answer = rest.post(TYPES, rb'{"signature_name": "string", "inputs": ["\uD83D\uDE00", "\\ud800"]}')
    assert answer == {"outputs": ["\N{GRINNING FACE}", "\\ud800"]}


@pytest.mark.parametrize("name", ["half", "uint16", "complex64"])
def test_types_without_json_form_are_unimplemented(rest: Rest, name: str) -> None:
    assert name in rest.error(501, "POST", TYPES, {"signature_name": name, "inputs": [1]})
    assert name in rest.error(400, "POST", TYPES, {"signature_name": name, "instances": [1]})
