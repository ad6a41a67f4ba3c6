from typing import Any

import numpy as np
import pytest
from homefeed_client import InvalidInputsError, ModelMetadata, Signature, TensorSpec
from homefeed_client.signatures import adapt_inputs

SIGNATURE = Signature(
    "tensorflow/serving/predict",
    {
        "history": TensorSpec("string", (None, None)),
        "history_value": TensorSpec("float", (None, None)),
        "timestamp": TensorSpec("int64", (None,)),
        "user_age": TensorSpec("float", (None,)),
        "user_tags": TensorSpec("string", (None, None)),
        "user_face": TensorSpec("float", (None, 3)),
        "anything": TensorSpec("float", None),
        "k": TensorSpec("int32", (None,)),
    },
    {},
)


def test_what_a_request_leaves_out_is_unknown() -> None:
    completed = SIGNATURE.complete({"history": [["a", "b"], ["c", ""]], "k": [1, 2]})
    shapes = {name: np.shape(value) for name, value in completed.items()}
    assert shapes == {
        "history": (2, 2), "history_value": (2, 2), "timestamp": (2,), "user_age": (2,), "user_tags": (2, 1),
        "user_face": (2, 3), "k": (2,),
    }  # fmt: skip
    assert np.isnan(completed["history_value"]).all() and np.isnan(completed["user_face"]).all()
    assert completed["timestamp"].tolist() == [0, 0] and completed["user_tags"].tolist() == [[b""], [b""]]


def test_what_is_given_stays_as_it_is() -> None:
    given = {name: np.ones((1,) * max(1, len(spec.shape or ()))) for name, spec in SIGNATURE.inputs.items()}
    completed = SIGNATURE.complete(given)
    assert all(completed[name] is value for name, value in given.items())
    assert SIGNATURE.complete({"k": [1]})["history"].tolist() == [[b""]]


METADATA = ModelMetadata("fused", 3, {"recommend": SIGNATURE})
FITTING: dict[str, Any] = {
    "history": [["a", "b"]], "history_value": [[4.0, 2.0]], "timestamp": [7], "user_age": [30.0],
    "user_tags": [["x"]], "user_face": [[1.0, 2.0, 3.0]], "anything": 1.0, "k": [5],
}  # fmt: skip


def adapted(**changed: Any) -> dict[str, Any]:
    return adapt_inputs(METADATA, "recommend", FITTING | changed)


@pytest.mark.parametrize(
    ("changed", "problems"),
    [
        ({"history_value": [[4.0]]},
         ["`history_value`: shape [1, 1] given, but that of `history`, [1, 2], expected."]),
        ({"history": []}, ["`history_value`: shape [1, 2] given, but that of `history`, [1, 0], expected."]),
        ({"k": [5, 6]}, ["the inputs have different numbers of rows, and one a request is expected: `history` 1, "
                         "`history_value` 1, `k` 2, `timestamp` 1, `user_age` 1, `user_face` 1, `user_tags` 1."]),
        ({"k": np.zeros(0)}, ["`k` has no rows: at least one expected."]),
        ({"history": [["a"], ["b", "c"]]}, ['`history`: its rows are of different lengths (1, 2): pad the shorter '
                                            'ones with "".']),
        ({"history_value": [[1], [2, 3]]}, ["`history_value`: its rows are of different lengths (1, 2): pad the "
                                            "shorter ones with NaN."]),
        ({"history": [[["a"]]]}, ["`history`: shape [1, 1, 1] given, string[?, ?] expected."]),
        ({"user_face": [[1.0, 2.0]]}, ["`user_face`: shape [1, 2] given, float[?, 3] expected."]),
        ({"histroy": [["a"]]}, ["`histroy` is not an input; expected: `history`, `history_value`, `timestamp`, "
                                "`user_age`, `user_tags`, `user_face`, `anything`, `k`."]),
        ({"k": [None]},
         ["`k`: None given, but int32 has no value for an unknown number; 0 is one in homefeed's models."]),
        ({"timestamp": [float("nan")]}, ["`timestamp`: nan is not an int64; int64[?] expected."]),
        ({"user_age": ["old"]}, ["`user_age`: numbers expected (float[?]), but got <U3 values such as 'old'."]),
        ({"user_age": [{"years": 3}]}, ["`user_age`: numbers expected (float[?]), but got object values such as "
                                        "{'years': 3}."]),
        ({"user_tags": [[1]]}, ["`user_tags`: strings expected, but 1 is of type int."]),
    ],
)  # fmt: skip
def test_inputs_that_disagree_are_named(changed: dict[str, Any], problems: list[str]) -> None:
    with pytest.raises(InvalidInputsError) as raised:
        adapted(**changed)
    assert set(problems) <= set(raised.value.problems)


def test_unknown_numbers_and_texts() -> None:
    inputs = adapted(history=[["a", None]], history_value=[[None, 2]], user_age=[None])
    assert inputs["history"].tolist() == [["a", b""]]
    assert inputs["history_value"].dtype == inputs["user_age"].dtype == np.float32
    np.testing.assert_array_equal(inputs["history_value"], [[np.nan, 2.0]])
    np.testing.assert_array_equal(inputs["user_age"], [np.nan])


@pytest.mark.parametrize("nothing", [[[]], []])
def test_a_new_user_has_one_unknown_event(nothing: Any) -> None:
    inputs = adapt_inputs(
        METADATA, "recommend", {"anything": 0.0, **SIGNATURE.complete({"history": nothing, "k": 5})}
    )
    assert inputs["history"].tolist() == [[b""]] and inputs["k"].tolist() == [5]
    np.testing.assert_array_equal(inputs["history_value"], [[np.nan]])


def test_other_models_inputs_need_not_agree() -> None:
    pairs = Signature("", {"left": TensorSpec("float", (None,)), "right": TensorSpec("float", (None,))}, {})
    inputs = adapt_inputs(ModelMetadata("pairs", 1, {"all": pairs}), "all", {"left": [1, 2], "right": []})
    assert {name: array.shape for name, array in inputs.items()} == {"left": (2,), "right": (0,)}


@pytest.mark.parametrize(
    ("given", "num_rows"),
    [
        ({}, 1), ({"history": "a"}, 1), ({"history": [["a"], ["b", "c"]], "k": [5, 6]}, 2),
        ({"history": ["a", "b"]}, 1),
        ({"nobody": 3}, 1), ({"k": 5}, 1), ({"k": [5, 6]}, 2),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_left_for_predict_to_name(given: dict[str, Any], num_rows: int) -> None:
    completed = SIGNATURE.complete(given)
    assert {name: completed[name] for name in given} == given
    assert np.shape(completed["user_age"]) == (num_rows,)
