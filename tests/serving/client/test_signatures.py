import numpy as np
from homefeed_client import Signature, TensorSpec

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
