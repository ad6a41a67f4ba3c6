"""Where a prediction comes from: a SavedModel in this process, or a model server over gRPC."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from homefeed.models.requests import TensorSpec

if TYPE_CHECKING:
    from homefeed_client import Signature

Tensors = Mapping[str, npt.NDArray[Any]]


class Predictor(Protocol):
    """Calls signatures of named models."""

    def serves(self, model: str) -> bool:
        """Whether a model is there."""

    def inputs(self, model: str, signature: str) -> dict[str, TensorSpec]:
        """What a signature takes."""

    def predict(self, model: str, signature: str, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Calls a signature; strings go in and come out as bytes in object arrays."""


class LocalPredictor:
    """Loads SavedModels into this process.

    Args:
        models: model name → SavedModel folder.
    """

    def __init__(self, models: Mapping[str, pathlib.Path]):
        import tensorflow as tf

        self._loaded = {name: tf.saved_model.load(str(path)) for name, path in models.items()}

    def serves(self, model: str) -> bool:
        """Whether a model is there."""
        return model in self._loaded

    def inputs(self, model: str, signature: str) -> dict[str, TensorSpec]:
        """What a signature takes."""
        _, specs = self._loaded[model].signatures[signature].structured_input_signature
        return {name: _tensor_spec(spec) for name, spec in specs.items()}

    def predict(self, model: str, signature: str, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Calls a signature."""
        import tensorflow as tf

        call = self._loaded[model].signatures[signature]
        outputs = call(**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}


class GrpcPredictor:
    """Asks a model server.

    Args:
        address: `host:port` of its gRPC port.
        timeout_seconds: deadline of each call.
        label: ask for the versions with this label (`stable`, `canary`); by default the newest.
    """

    def __init__(self, address: str, timeout_seconds: float = 10.0, label: str | None = None):
        import homefeed_client

        self.client = homefeed_client.PredictionClient(address, timeout_seconds=timeout_seconds)
        self._label = label

    def serves(self, model: str) -> bool:
        """Whether a model is there, with the label if one is asked for."""
        import homefeed_client

        try:
            self.client.metadata(model, label=self._label)
        except (homefeed_client.ModelNotFoundError, homefeed_client.InvalidRequestError):
            return False
        return True

    def inputs(self, model: str, signature: str) -> dict[str, TensorSpec]:
        """What a signature takes, from the model's metadata."""
        return tensor_specs(self.client.metadata(model, label=self._label).signatures[signature])

    def predict(self, model: str, signature: str, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Calls a signature."""
        return self.client.predict(model, dict(inputs), signature=signature, label=self._label).outputs


def tensor_specs(signature: Signature) -> dict[str, TensorSpec]:
    """What a signature takes, as a server's metadata say it."""
    return {name: _from_metadata(spec.dtype, spec.shape) for name, spec in signature.inputs.items()}


def _from_metadata(dtype: str, shape: tuple[int | None, ...] | None) -> TensorSpec:
    from homefeed_client.tensors import dtype_of_name

    numpy_dtype = np.dtype(np.object_) if dtype == "string" else dtype_of_name(dtype).numpy
    return TensorSpec(numpy_dtype, tuple(-1 if size is None else size for size in shape or ()))


def _tensor_spec(spec: Any) -> TensorSpec:
    dtype = np.dtype(np.object_) if spec.dtype.name == "string" else np.dtype(spec.dtype.as_numpy_dtype)
    return TensorSpec(dtype, tuple(-1 if size is None else size for size in spec.shape))
