"""Predictors: a SavedModel in this process, or a model server over gRPC."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from homefeed.models.requests import TensorSpec
from homefeed.serving.process import ServerError

if TYPE_CHECKING:
    from homefeed_client import Signature

Tensors = Mapping[str, npt.NDArray[Any]]


class Predictor(Protocol):
    """Calls signatures of named models."""

    def serves(self, model: str) -> bool:
        """Whether a model is there."""

    def inputs(self, model: str, signature: str) -> dict[str, TensorSpec]:
        """Input name → spec of a signature."""

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
        """Input name → spec of a signature."""
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
    """

    def __init__(self, address: str, timeout_seconds: float = 10.0):
        import homefeed_client

        self.client = homefeed_client.PredictionClient(address, timeout_seconds=timeout_seconds)
        self._address = address

    def wait_for(self, model: str, seconds: float) -> None:
        """Waits for a server that starts.

        Raises:
            ServerError: it does not answer, or has no such model, in time.
        """
        import homefeed_client

        try:
            self.client.wait_until_available(model, timeout_seconds=seconds)
        except homefeed_client.PredictionError as error:
            raise ServerError(
                f"no model server answers at {self._address} ({error}): `homefeed serve` starts one, --wait waits"
            ) from error

    def serves(self, model: str) -> bool:
        """Whether a model is there."""
        import homefeed_client

        try:
            self.client.metadata(model)
        except (homefeed_client.ModelNotFoundError, homefeed_client.InvalidRequestError):
            return False
        return True

    def inputs(self, model: str, signature: str) -> dict[str, TensorSpec]:
        """What a signature takes, from the model's metadata."""
        return tensor_specs(self.client.metadata(model).signatures[signature])

    def predict(self, model: str, signature: str, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Calls a signature."""
        return self.client.predict(model, dict(inputs), signature=signature).outputs


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
