"""A model's signatures, and how arrays and lists become the tensors that they ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from homefeed_client import agreement, protos, tensors
from homefeed_client.errors import InvalidInputsError

if TYPE_CHECKING:
    import numpy.typing as npt  # Slow to import, and only read by type checkers.

_SignatureDefMap = protos.message("tensorflow.serving.SignatureDefMap")
_INITIALIZER = "__saved_model_init_op"


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
        dtype: TensorFlow's name of the element type, such as `float` or `string`.
        shape: sizes by axis, None for any size; None as a whole when the rank is unknown.
        required: whether a request must carry it; an input with a default need not.
    """

    dtype: str
    shape: tuple[int | None, ...] | None
    required: bool = True

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype} of any shape"
        return f"{self.dtype}[{', '.join('?' if size is None else str(size) for size in self.shape)}]"


@dataclasses.dataclass(frozen=True)
class Signature:
    """What a model takes and gives under one name."""

    method_name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]

    def complete(self, inputs: Mapping[str, npt.ArrayLike]) -> dict[str, npt.ArrayLike]:
        """Adds what a request leaves out, as unknown: "", NaN, or 0 for whole numbers.

        Args:
            inputs: values, with or without a batch axis. What does not fit is passed on, for `predict` to name.

        Returns:
            The same, and a value for each other input: one column a row, but for `history_…` one for each event of
            `history`.
        """
        shapes = {name: _shape(value, self.inputs.get(name)) for name, value in inputs.items()}
        num_rows = max((shape[0] for shape in shapes.values() if shape), default=1)
        num_events = [*shapes.get("history", ()), 1, 1][1]
        completed = dict(inputs)
        for name, spec in self.inputs.items():
            if name in inputs or spec.shape is None:
                continue
            width = num_events if name.startswith("history") else 1
            shape = [num_rows, *(width if size is None else size for size in spec.shape[1:])][: len(spec.shape)]
            completed[name] = _unknown(spec.dtype, shape)
        return completed


def _shape(value: npt.ArrayLike, spec: TensorSpec | None) -> tuple[int, ...]:
    """The shape of an input as it will be sent, as far as it has one."""
    shape = _array(value).shape
    is_one_row = spec is not None and spec.shape is not None and len(shape) == len(spec.shape) - 1
    return (1, *shape) if is_one_row else shape


def _array(value: npt.ArrayLike) -> np.ndarray[Any, Any]:
    """An array; rows of different lengths become one of objects."""
    try:
        return np.asarray(value)
    except ValueError:
        return np.asarray(value, dtype=object)


def _unknown(dtype: str, shape: Sequence[int]) -> np.ndarray[Any, Any]:
    if dtype == "string":
        return np.full(shape, b"", object)
    numpy_dtype = tensors.dtype_of_name(dtype).numpy
    return np.full(shape, np.nan if numpy_dtype.kind == "f" else 0, numpy_dtype)


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """What a version of a model can do."""

    name: str
    version: int
    signatures: Mapping[str, Signature]

    @classmethod
    def from_proto(cls, response: Any) -> ModelMetadata:
        """Reads a GetModelMetadataResponse message."""
        signature_map = _SignatureDefMap()
        response.metadata["signature_def"].Unpack(signature_map)
        signatures = {
            name: _signature(proto)
            for name, proto in sorted(signature_map.signature_def.items())
            if name != _INITIALIZER
        }
        return cls(response.model_spec.name, response.model_spec.version.value, signatures)


def _signature(proto: Any) -> Signature:
    inputs = {name: _tensor_spec(info, name not in proto.defaults) for name, info in sorted(proto.inputs.items())}
    outputs = {name: _tensor_spec(info) for name, info in sorted(proto.outputs.items())}
    return Signature(proto.method_name, inputs, outputs)


def _tensor_spec(info: Any, required: bool = True) -> TensorSpec:
    shape = None
    if not info.tensor_shape.unknown_rank:
        shape = tuple(dim.size if dim.size >= 0 else None for dim in info.tensor_shape.dim)
    return TensorSpec(tensors.dtype_name(info.dtype), shape, required)


def adapt_inputs(
    metadata: ModelMetadata, signature_name: str, inputs: Mapping[str, npt.ArrayLike]
) -> dict[str, np.ndarray[Any, Any]]:
    """Turns what the caller has into arrays of the signature's types and ranks.

    Numbers are cast where they stay the same (7.0 for an int64, but not 7.5) or are rounded to a narrower float.
    A missing batch axis is added: a value whose rank is one too low becomes a batch of one. None is an unknown number
    (NaN) or text (""). In a recommender's signature, lists of no elements get one that is unknown.

    Raises:
        InvalidInputsError: with all mismatches: signature, missing and surplus inputs, types, shapes, and in a
            recommender's signature inputs that disagree.
    """
    if signature_name not in metadata.signatures:
        known = ", ".join(f"`{name}`" for name in metadata.signatures)
        problem = f"version {metadata.version} has no such signature; it has {known}."
        raise InvalidInputsError(metadata.name, signature_name, [problem])
    specs = metadata.signatures[signature_name].inputs
    problems = [
        f"`{name}` is missing: {spec} expected."
        for name, spec in specs.items()
        if spec.required and name not in inputs
    ]
    problems += [f"`{name}` is not an input; expected: {_listed(specs)}." for name in inputs if name not in specs]
    adapted = {}
    for name in specs.keys() & inputs.keys():
        try:
            adapted[name] = _adapt(inputs[name], specs[name])
        except (ValueError, TypeError) as error:
            problems.append(f"`{name}`: {error}")
    is_recommender = not agreement.OF_RECOMMENDERS.isdisjoint(specs)
    if is_recommender:
        problems += agreement.disagreements(adapted)
    if problems:
        raise InvalidInputsError(metadata.name, signature_name, sorted(problems))
    if is_recommender:
        return {name: _at_least_one(array, specs[name].dtype) for name, array in adapted.items()}
    return adapted


def _at_least_one(array: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    return array if array.size else _unknown(dtype, [size or 1 for size in array.shape])


def num_rows(arrays: Mapping[str, np.ndarray[Any, Any]]) -> int:
    """The common size of axis 0.

    Raises:
        ValueError: the arrays do not have one, or have no rows.
    """
    sizes = {name: array.shape[0] if array.ndim else 0 for name, array in arrays.items()}
    if len(set(sizes.values())) != 1 or 0 in sizes.values():
        raise ValueError(
            f"All inputs must have the same number of rows along axis 0, at least one, but have {sizes}."
        )
    return next(iter(sizes.values()))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _adapt(value: npt.ArrayLike, spec: TensorSpec) -> np.ndarray[Any, Any]:
    array = _to_strings(value) if spec.dtype == "string" else _to_numbers(value, spec)
    if spec.shape is None:
        return array
    if array.ndim == len(spec.shape) - 1 and spec.shape[0] in (None, 1):
        array = array[np.newaxis]
    fits = array.ndim == len(spec.shape) and all(
        expected in (None, size) for expected, size in zip(spec.shape, array.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"shape {list(array.shape)} given, {spec} expected.")
    return array


def _to_strings(value: npt.ArrayLike) -> np.ndarray[Any, Any]:
    array = _array(value).astype(object)
    flat = array.ravel().tolist()
    _refuse_lists(flat, '""')
    for element in flat:
        if not isinstance(element, bytes | str | None):
            raise TypeError(f"strings expected, but {element!r} is of type {type(element).__name__}.")
    return np.array([b"" if element is None else element for element in flat], object).reshape(array.shape)


def _refuse_lists(elements: Sequence[Any], padding: str) -> None:
    if lengths := [len(element) for element in elements if isinstance(element, list | tuple | np.ndarray)]:
        raise ValueError(f"its rows are of different lengths ({_few(lengths)}): pad the shorter ones with {padding}.")


def _few(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values[:5])) + (", …" if len(values) > 5 else "")


def _to_numbers(value: npt.ArrayLike, spec: TensorSpec) -> np.ndarray[Any, Any]:
    dtype = tensors.dtype_of_name(spec.dtype).numpy
    array = _array(value)
    if array.size == 0:
        return array.astype(dtype)
    if array.dtype.kind == "O":
        array = _known_numbers(array, dtype)
    if array.dtype.kind in "OSU":
        raise TypeError(f"numbers expected ({spec}), but got {array.dtype} values such as {array.flat[0]!r}.")
    if (array.dtype.kind == "b") != (dtype.kind == "b"):
        raise TypeError(f"{array.dtype} values given, {spec} expected.")
    with np.errstate(all="ignore"):
        cast = array.astype(dtype)
    # Floats may round to a narrower float; an integer must stay the number that it was.
    if dtype.kind in "iu" and array.dtype != dtype and not np.array_equal(cast, array):
        wrong = array[cast != array].flat[0]
        raise ValueError(f"{wrong} is not an {spec.dtype}; {spec} expected.")
    return np.ascontiguousarray(cast) if cast.ndim else cast


def _known_numbers(array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Numbers of an array of objects, None as NaN."""
    elements = array.ravel().tolist()
    _refuse_lists(elements, "NaN" if dtype.kind == "f" else "0")
    if None in elements and dtype.kind != "f":
        raise ValueError(
            f"None given, but {dtype} has no value for an unknown number; 0 is one in homefeed's models."
        )
    return np.array([np.nan if element is None else element for element in elements]).reshape(array.shape)
