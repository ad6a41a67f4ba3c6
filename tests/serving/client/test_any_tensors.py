"""Tensors of any type and shape, packed and read by us and by TensorFlow; inputs of any signature."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from homefeed_client import InvalidInputsError, ModelMetadata, Signature, TensorSpec, signatures, tensors
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from tensorflow.core.framework import tensor_pb2

NUMBERS = ["float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
NUMBERS += ["bool", "complex64", "complex128"]
SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


def any_array(dtype: str) -> st.SearchStrategy[Any]:
    if dtype == "string":
        return arrays_of.arrays(object, SHAPES, elements=st.binary(max_size=5) | st.text(max_size=3).map(str.encode))
    return arrays_of.arrays(np.dtype(dtype), SHAPES)


@pytest.mark.parametrize("dtype", [*NUMBERS, "string"])
@given(data=st.data(), typed=st.booleans())
@settings(max_examples=15)
def test_what_is_packed_is_read_by_us_and_by_tensorflow(dtype: str, data: st.DataObject, typed: bool) -> None:
    array = data.draw(any_array(dtype))
    packed = tensors.to_proto(array, typed_fields=typed)
    ours = tensors.to_array(packed)
    assert ours.dtype == array.dtype and ours.shape == array.shape
    np.testing.assert_array_equal(ours, array)
    theirs = tf.make_ndarray(tensor_pb2.TensorProto.FromString(packed.SerializeToString()))
    np.testing.assert_array_equal(theirs.reshape(array.shape), array)


@pytest.mark.parametrize("dtype", [*NUMBERS, "string"])
@given(data=st.data())
@settings(max_examples=15)
def test_what_tensorflow_packs_is_read(dtype: str, data: st.DataObject) -> None:
    array = data.draw(any_array(dtype))
    packed = tf.make_tensor_proto(array, dtype=dtype, shape=array.shape)
    ours = tensors.to_array(tensors.TensorProto.FromString(packed.SerializeToString()))
    assert ours.shape == array.shape
    np.testing.assert_array_equal(ours, array)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dtype": 20}, "Tensors of type resource cannot be held by NumPy"),
        ({"dtype": 999}, "Tensors of type unknown dtype 999 cannot"),
        ({"tensor_content": b"123"}, "Shape [2, 2] of float needs 16 bytes, got 3"),
        ({"dtype": 7, "tensor_content": b"1234"}, "String tensors are read from `string_val`"),
        ({"size": -1}, "shape must be fully known, but it is [2, -1]"),
        ({"size": 1 << 20, "float_val": [1.0]}, "1 values for 2097152 elements"),
    ],
)
def test_what_is_no_tensor_is_refused(change: dict[str, Any], reason: str) -> None:
    size = change.pop("size", 2)
    shape = {"dim": [{"size": 2}, {"size": size}]}
    packed = tensors.TensorProto(**{"dtype": 1, "tensor_shape": shape, **change})
    with pytest.raises(ValueError) as refused:
        tensors.to_array(packed)
    assert reason in str(refused.value)


# -- Inputs ----------------------------------------------------------------------------------------------------------

DTYPES = {"string": "w", "int32": 7, "int64": 2**40, "float": 0.5, "double": 0.25, "bool": True}
DIMS = st.lists(st.none() | st.integers(1, 3), max_size=2)
SPECS = st.dictionaries(
    st.sampled_from("abcd"),
    st.builds(TensorSpec, st.sampled_from(list(DTYPES)), DIMS.map(lambda dims: (None, *dims))),
    min_size=1,
)


def metadata(specs: dict[str, TensorSpec]) -> ModelMetadata:
    return ModelMetadata("m", 3, {"ask": Signature("predict", specs, {})})


def fitting(specs: dict[str, TensorSpec], rows: int, width: int) -> dict[str, Any]:
    """Lists that a caller might write."""
    shapes = {
        name: [rows, *(width if dim is None else dim for dim in spec.shape[1:])] for name, spec in specs.items()
    }
    return {name: np.full(shape, DTYPES[specs[name].dtype], object).tolist() for name, shape in shapes.items()}


@given(SPECS, st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=60)
def test_lists_become_what_a_signature_takes(specs: dict[str, TensorSpec], rows: int, width: int) -> None:
    given_ = fitting(specs, rows, width)
    adapted = signatures.adapt_inputs(metadata(specs), "ask", given_)
    for name, array in adapted.items():
        assert array.tolist() == given_[name]
        assert tensors.dtype_of_array(array).name == specs[name].dtype
    alone = {name: value[0] for name, value in fitting(specs, 1, width).items()}
    one = signatures.adapt_inputs(metadata(specs), "ask", alone)
    assert all(array.shape[0] == 1 for array in one.values()), "one example without its batch axis"
    completed = signatures.adapt_inputs(metadata(specs), "ask", metadata(specs).signatures["ask"].complete({}))
    for name, array in completed.items():
        nothing = b"" if specs[name].dtype == "string" else 0
        assert array.shape[0] == 1
        assert all(
            cell == nothing or (isinstance(cell, float) and math.isnan(cell)) for cell in array.ravel().tolist()
        )


@given(SPECS, st.data())
@settings(max_examples=60)
def test_whatever_does_not_fit_is_named_all_at_once(specs: dict[str, TensorSpec], data: st.DataObject) -> None:
    inputs, wrong = fitting(specs, 2, 2), set()
    for name, spec in specs.items():
        fault = data.draw(st.sampled_from(["none", "missing", "depth", "kind"]), label=name)
        if fault == "missing":
            del inputs[name]
        elif fault == "depth":
            inputs[name] = [[inputs[name]]]
        elif fault == "kind":
            inputs[name] = [[1]] if spec.dtype == "string" else [["word"]]
        wrong |= {name} if fault != "none" else set()
    if data.draw(st.booleans(), label="stranger"):
        inputs["stranger"] = [1]
        wrong.add("stranger")
    if not wrong:
        signatures.adapt_inputs(metadata(specs), "ask", inputs)
        return
    with pytest.raises(InvalidInputsError) as refused:
        signatures.adapt_inputs(metadata(specs), "ask", inputs)
    assert {problem.split("`")[1] for problem in refused.value.problems} == wrong
    assert "Inputs do not fit signature `ask` of model `m`" in str(refused.value)


def test_a_signature_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(InvalidInputsError, match="version 3 has no such signature; it has `ask`"):
        signatures.adapt_inputs(metadata({"a": TensorSpec("float", (None,))}), "rank", {})
