"""Requests to model servers and their answers, as messages and as Python values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np

from homefeed_client import protos, signatures, tensors
from homefeed_client.errors import ServerError, ServerUnavailableError
from homefeed_client.signatures import ModelMetadata

if TYPE_CHECKING:
    import numpy.typing as npt  # Slow to import, and only read by type checkers.

_serving = "tensorflow.serving."
_PredictRequest = protos.message(_serving + "PredictRequest")
_GetModelMetadataRequest = protos.message(_serving + "GetModelMetadataRequest")
_GetModelStatusRequest = protos.message(_serving + "GetModelStatusRequest")
PREDICTION_SERVICE = _serving + "PredictionService"
MODEL_SERVICE = _serving + "ModelService"

# Which version of which model a request is for: name, version, label.
Asked = tuple[str, int | None, str | None]


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The answer of a model.

    Attributes:
        outputs: value by output name; strings are object arrays of bytes.
        model_version: the version that made the answer.
    """

    outputs: dict[str, np.ndarray[Any, Any]]
    model_version: int

    @classmethod
    def from_proto(cls, response: Any) -> Prediction:
        """Reads a PredictResponse message."""
        outputs = {name: tensors.to_array(value) for name, value in response.outputs.items()}
        return cls(outputs, response.model_spec.version.value)


def join_rows(parts: Sequence[Prediction]) -> Prediction:
    """One prediction of those of batches, in their order, made by one version."""
    outputs = {name: np.concatenate([part.outputs[name] for part in parts]) for name in parts[0].outputs}
    return Prediction(outputs, parts[0].model_version)


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """The state of one version, as the server reports it.

    Attributes:
        state: START, LOADING, AVAILABLE, UNLOADING or END (unloaded, or failed to load).
        error_code: OK, or why the load failed.
    """

    version: int
    state: str
    error_code: str
    error_message: str


def _method(service: str, name: str) -> tuple[str, Any, Any]:
    descriptor = protos.POOL.FindServiceByName(service).methods_by_name[name]
    request, response = (protos.message(type_.full_name) for type_ in (descriptor.input_type, descriptor.output_type))
    return f"/{service}/{name}", request.SerializeToString, response.FromString


METHODS = {
    "Predict": _method(PREDICTION_SERVICE, "Predict"),
    "GetModelMetadata": _method(PREDICTION_SERVICE, "GetModelMetadata"),
    "GetModelStatus": _method(MODEL_SERVICE, "GetModelStatus"),
}


def _fill_model_spec(spec: Any, model: str, version: int | None, label: str | None) -> None:
    if version is not None and label is not None:
        raise ValueError(f"Ask for a version or for a label, not for both (version={version}, label={label!r}).")
    spec.name = model
    if version is not None:
        spec.version.value = version
    elif label is not None:
        spec.version_label = label


def predict_request(
    metadata: ModelMetadata,
    inputs: Mapping[str, npt.ArrayLike],
    signature: str,
    outputs: Sequence[str],
    asked: Asked,
) -> Any:
    """Builds a PredictRequest message; inputs are adapted to the signature."""
    request = _PredictRequest()
    _fill_model_spec(request.model_spec, *asked)
    request.model_spec.signature_name = signature
    for name, array in signatures.adapt_inputs(metadata, signature, inputs).items():
        request.inputs[name].CopyFrom(tensors.to_proto(array))
    request.output_filter.extend(outputs)
    return request


def metadata_request(model: str, version: int | None, label: str | None) -> Any:
    """Builds a GetModelMetadataRequest message."""
    request = _GetModelMetadataRequest(metadata_field=["signature_def"])
    _fill_model_spec(request.model_spec, model, version, label)
    return request


def status_request(model: str) -> Any:
    """Builds a GetModelStatusRequest message for all versions."""
    request = _GetModelStatusRequest()
    request.model_spec.name = model
    return request


def version_statuses(response: Any) -> list[VersionStatus]:
    """Reads a GetModelStatusResponse message."""
    states = protos.enum(_serving + "ModelVersionStatus.State").values_by_number
    codes = protos.enum("tensorflow.error.Code").values_by_number
    return [
        VersionStatus(
            entry.version,
            states[entry.state].name,
            codes[entry.status.error_code].name,
            entry.status.error_message,
        )
        for entry in response.model_version_status
    ]


def unavailable(model: str, version: int | None, timeout_seconds: float, target: str) -> ServerError:
    """The error of a wait that was in vain."""
    wanted = f"model `{model}`" if version is None else f"version {version} of model `{model}`"
    words = f"{wanted} did not become available within {timeout_seconds:g} seconds; see `status`."
    return ServerUnavailableError(grpc.StatusCode.UNAVAILABLE, words, target)
