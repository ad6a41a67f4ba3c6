"""The blocking client of a model server."""

from __future__ import annotations

import collections
import dataclasses
import json
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np

from homefeed_client import protos, signatures, tensors
from homefeed_client.errors import (
    DeadlineExceededError,
    InvalidInputsError,
    InvalidRequestError,
    ModelNotFoundError,
    ServerError,
    ServerUnavailableError,
    from_rpc_error,
)
from homefeed_client.signatures import ModelMetadata

if TYPE_CHECKING:
    import numpy.typing as npt  # Slow to import, and only read by type checkers.

_serving = "tensorflow.serving."
_PredictRequest = protos.message(_serving + "PredictRequest")
_GetModelMetadataRequest = protos.message(_serving + "GetModelMetadataRequest")
_GetModelStatusRequest = protos.message(_serving + "GetModelStatusRequest")
_PREDICTION_SERVICE = _serving + "PredictionService"
_MODEL_SERVICE = _serving + "ModelService"

MAX_MESSAGE_BYTES = 2**31 - 1

# Which version of which model a request is for: name, version, label.
Asked = tuple[str, int | None, str | None]

# gRPC itself tries again, within the call's deadline and with jitter, and only where the server did no work.
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": _PREDICTION_SERVICE}, {"service": _MODEL_SERVICE}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "3s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        }
    ],
}
CHANNEL_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    # A server that restarts is found again within a second; gRPC's own pause grows to two minutes.
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


def channel_options(own: Sequence[tuple[str, Any]] = ()) -> list[tuple[str, Any]]:
    """The options of a channel: ours, and the caller's, which win."""
    return list({**dict(CHANNEL_OPTIONS), **dict(own)}.items())


def join_targets(target: str | Sequence[str]) -> str:
    """One gRPC target for one or several servers.

    Raises:
        ValueError: there is none, or one of several is not `host:port`.
        OSError: a host name is not known.
    """
    if isinstance(target, str):
        return target
    addresses = []
    for server in target:
        host, colon, port = server.rpartition(":")
        if not colon or not port.isdigit():
            raise ValueError(f"Each of several targets must be `host:port`, but got `{server}`.")
        addresses += [f"{found[4][0]}:{port}" for found in socket.getaddrinfo(host, int(port), socket.AF_INET)[:1]]
    if not addresses:
        raise ValueError("At least one target is needed, `host:port`.")
    return "ipv4:" + ",".join(addresses)


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model answered.

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
    """What the server says of one version.

    Attributes:
        state: START, LOADING, AVAILABLE, UNLOADING or END (unloaded, or failed to load).
        error_code: OK, or why the load failed.
    """

    version: int
    state: str
    error_code: str
    error_message: str


class PredictionClient:
    """Calls a model server over one channel; safe to share between threads.

    Args:
        target: `host:port` or any target that gRPC takes; or several `host:port`, which take turns. A host name with
            several addresses does so too, and a server that is gone is left out until it is back.
        timeout_seconds: the deadline of each call that names no own.
        credentials: `grpc.ssl_channel_credentials(...)` for TLS; None is plain text.
        options: further gRPC channel options; they win over ours.

    Example:
        >>> client = PredictionClient("127.0.0.1:8500")  # doctest: +SKIP
        >>> client.predict("half_plus_two", {"x": [1.0, 5.0]}).outputs["y"]  # doctest: +SKIP
        array([2.5, 4.5], dtype=float32)
    """

    def __init__(
        self,
        target: str | Sequence[str],
        *,
        timeout_seconds: float = 5.0,
        credentials: grpc.ChannelCredentials | None = None,
        options: Sequence[tuple[str, Any]] = (),
    ):
        self.target = join_targets(target)
        self.timeout_seconds = timeout_seconds
        all_options = channel_options(options)
        self._channel = (
            grpc.secure_channel(self.target, credentials, all_options)
            if credentials
            else grpc.insecure_channel(self.target, all_options)
        )
        self._stubs = {
            name: self._channel.unary_unary(path, request_serializer=serialize, response_deserializer=deserialize)
            for name, (path, serialize, deserialize) in METHODS.items()
        }
        self._metadata = MetadataCache()

    def predict(
        self,
        model: str,
        inputs: Mapping[str, npt.ArrayLike],
        *,
        signature: str = "serving_default",
        outputs: Sequence[str] = (),
        version: int | None = None,
        label: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Prediction:
        """Runs a model.

        Args:
            model: its name on the server.
            inputs: arrays or lists by input name; types and a missing batch axis are adapted to the signature.
            signature: which of the model's signatures.
            outputs: which outputs to compute; none means all.
            version: exactly this version instead of the latest.
            label: the version under this label; not together with `version`.
            timeout_seconds: the deadline of this call.

        Raises:
            InvalidInputsError: inputs do not fit the signature; nothing was computed.
            ServerError: the call failed; see its subclasses.
        """
        deadline = self._deadline(timeout_seconds)
        asked = (model, version, label)
        metadata = self._metadata.get(*asked) or self._fetch_metadata(asked, deadline)
        try:
            request = predict_request(metadata, inputs, signature, outputs, asked)
        except InvalidInputsError:
            # The server may have moved on to a version with other signatures.
            metadata = self._fetch_metadata(asked, deadline)
            request = predict_request(metadata, inputs, signature, outputs, asked)
        try:
            response = self._call("Predict", request, deadline)
        except InvalidRequestError:
            newer = self._fetch_metadata(asked, deadline)
            if newer.version == metadata.version:
                raise
            request = predict_request(newer, inputs, signature, outputs, asked)
            response = self._call("Predict", request, deadline)
        prediction = Prediction.from_proto(response)
        self._metadata.answered_by(*asked, prediction.model_version)
        return prediction

    def predict_batches(
        self,
        model: str,
        inputs: Mapping[str, npt.ArrayLike],
        *,
        batch_size: int,
        signature: str = "serving_default",
        outputs: Sequence[str] = (),
        max_in_flight: int = 4,
        timeout_seconds: float | None = None,
    ) -> Prediction:
        """Runs a model on many rows, a batch at a time, with one version for all of them.

        Args:
            model, inputs, signature, outputs: as of `predict`; every input has the rows along axis 0.
            batch_size: rows of one call.
            max_in_flight: calls under way at the same time.
            timeout_seconds: the deadline of each call.

        Returns:
            The outputs of all rows, in their order.

        Raises:
            InvalidInputsError: inputs do not fit the signature; nothing was computed.
            ServerError: a call failed; those still under way are cancelled.
        """
        metadata = self._fetch_metadata((model, None, None), self._deadline(timeout_seconds))
        asked = (model, metadata.version, None)
        arrays = signatures.adapt_inputs(metadata, signature, inputs)
        pending: collections.deque[grpc.Future] = collections.deque()
        parts: list[Prediction] = []
        try:
            for start in range(0, signatures.num_rows(arrays), batch_size):
                if len(pending) >= max_in_flight:
                    parts.append(self._result(pending.popleft()))
                batch = {name: array[start : start + batch_size] for name, array in arrays.items()}
                request = predict_request(metadata, batch, signature, outputs, asked)
                timeout = self.timeout_seconds if timeout_seconds is None else timeout_seconds
                pending.append(self._stubs["Predict"].future(request, timeout=timeout))
            while pending:
                parts.append(self._result(pending.popleft()))
        finally:
            for call in pending:
                call.cancel()
        return join_rows(parts)

    def _result(self, call: Any) -> Prediction:
        try:
            return Prediction.from_proto(call.result())
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error

    def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout_seconds: float | None = None,
    ) -> ModelMetadata:
        """Asks the server which signatures a model has.

        Raises:
            ServerError: the call failed.
        """
        request = metadata_request(model, version, label)
        return ModelMetadata.from_proto(self._call("GetModelMetadata", request, self._deadline(timeout_seconds)))

    def status(self, model: str, *, timeout_seconds: float | None = None) -> list[VersionStatus]:
        """The state of every version of a model that the server has seen, highest version first.

        Raises:
            ModelNotFoundError: the server knows no version of this model.
            ServerError: the call failed.
        """
        request = status_request(model)
        return version_statuses(self._call("GetModelStatus", request, self._deadline(timeout_seconds)))

    def wait_until_available(self, model: str, *, version: int | None = None, timeout_seconds: float = 60.0) -> int:
        """Waits for a server that starts or a model that loads.

        Returns:
            The highest version that is available, or `version`.

        Raises:
            ServerError: it is still not available at the timeout; the last answer says why.
        """
        deadline = time.monotonic() + timeout_seconds
        not_available = last_error = unavailable(model, version, timeout_seconds, self.target)
        while True:
            try:
                remaining = max(0.05, deadline - time.monotonic())
                for status in self.status(model, timeout_seconds=min(remaining, self.timeout_seconds)):
                    if status.state == "AVAILABLE" and version in (None, status.version):
                        return status.version
                last_error = not_available
            except (ModelNotFoundError, ServerUnavailableError) as error:
                last_error = error
            except DeadlineExceededError:
                pass  # No answer: the one before still says why.
            if time.monotonic() >= deadline:
                raise last_error
            time.sleep(min(0.1, timeout_seconds / 10))

    def close(self) -> None:
        """Closes the connection; calls in flight are cancelled."""
        self._channel.close()

    def __enter__(self) -> PredictionClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _deadline(self, timeout_seconds: float | None) -> float:
        return time.monotonic() + (self.timeout_seconds if timeout_seconds is None else timeout_seconds)

    def _call(self, method: str, request: Any, deadline: float) -> Any:
        try:
            return self._stubs[method](request, timeout=max(0.0, deadline - time.monotonic()))
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error

    def _fetch_metadata(self, asked: Asked, deadline: float) -> ModelMetadata:
        response = self._call("GetModelMetadata", metadata_request(*asked), deadline)
        metadata = ModelMetadata.from_proto(response)
        self._metadata.put(*asked, metadata)
        return metadata


class MetadataCache:
    """Remembers the metadata of what was asked for, until a version answers that was not seen before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._metadata: dict[Asked, ModelMetadata] = {}
        # Behind one target there may be servers with different versions; only a new one is news.
        self._seen: dict[Asked, set[int]] = {}

    def get(self, model: str, version: int | None, label: str | None) -> ModelMetadata | None:
        """What is known of the version that such a request reaches."""
        with self._lock:
            return self._metadata.get((model, version, label))

    def put(self, model: str, version: int | None, label: str | None, metadata: ModelMetadata) -> None:
        """Remembers it."""
        with self._lock:
            self._metadata[model, version, label] = metadata
            self._seen.setdefault((model, version, label), set()).add(metadata.version)

    def answered_by(self, model: str, version: int | None, label: str | None, answering_version: int) -> None:
        """Notes which version answered such a request; if it is new, the next call asks for its metadata."""
        with self._lock:
            seen = self._seen.setdefault((model, version, label), set())
            if answering_version not in seen:
                seen.add(answering_version)
                self._metadata.pop((model, version, label), None)


def _method(service: str, name: str) -> tuple[str, Any, Any]:
    descriptor = protos.POOL.FindServiceByName(service).methods_by_name[name]
    request, response = (protos.message(type_.full_name) for type_ in (descriptor.input_type, descriptor.output_type))
    return f"/{service}/{name}", request.SerializeToString, response.FromString


METHODS = {
    "Predict": _method(_PREDICTION_SERVICE, "Predict"),
    "GetModelMetadata": _method(_PREDICTION_SERVICE, "GetModelMetadata"),
    "GetModelStatus": _method(_MODEL_SERVICE, "GetModelStatus"),
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
