"""The blocking client of a model server."""

from __future__ import annotations

import collections
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import grpc

from homefeed_client import signatures
from homefeed_client.channel import channel_options, join_targets
from homefeed_client.errors import (
    DeadlineExceededError,
    InvalidInputsError,
    InvalidRequestError,
    ModelNotFoundError,
    ServerError,
    ServerUnavailableError,
)
from homefeed_client.failures import HEALTH_CHECK, HEALTH_CHECK_SECONDS, from_deadline, from_rpc_error
from homefeed_client.messages import (
    METHODS,
    Asked,
    Prediction,
    VersionStatus,
    join_rows,
    metadata_request,
    predict_request,
    status_request,
    unavailable,
    version_statuses,
)
from homefeed_client.metadata_cache import MetadataCache
from homefeed_client.signatures import ModelMetadata

if TYPE_CHECKING:
    import numpy.typing as npt  # Slow to import, and only read by type checkers.


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
        all_options = channel_options(self.target, options)
        self._channel = (
            grpc.secure_channel(self.target, credentials, all_options)
            if credentials
            else grpc.insecure_channel(self.target, all_options)
        )
        self._stubs = {
            name: self._channel.unary_unary(path, request_serializer=serialize, response_deserializer=deserialize)
            for name, (path, serialize, deserialize) in METHODS.items()
        }
        self._check = self._channel.unary_unary(HEALTH_CHECK)
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
        timeout = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        pending: collections.deque[grpc.Future] = collections.deque()
        parts: list[Prediction] = []
        try:
            for start in range(0, signatures.num_rows(arrays), batch_size):
                if len(pending) >= max_in_flight:
                    parts.append(self._result(pending.popleft(), timeout))
                batch = {name: array[start : start + batch_size] for name, array in arrays.items()}
                request = predict_request(metadata, batch, signature, outputs, asked)
                pending.append(self._stubs["Predict"].future(request, timeout=timeout))
            while pending:
                parts.append(self._result(pending.popleft(), timeout))
        finally:
            for call in pending:
                call.cancel()
        return join_rows(parts)

    def _result(self, call: Any, timeout_seconds: float) -> Prediction:
        try:
            return Prediction.from_proto(call.result())
        except grpc.RpcError as error:
            raise self._failure(error, timeout_seconds) from error

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
        not_available = unavailable(model, version, timeout_seconds, self.target)
        last_error: ServerError | None = None
        while True:
            try:
                remaining = max(0.05, deadline - time.monotonic())
                for status in self.status(model, timeout_seconds=min(remaining, self.timeout_seconds)):
                    if status.state == "AVAILABLE" and version in (None, status.version):
                        return status.version
                last_error = not_available
            except (ModelNotFoundError, ServerUnavailableError) as error:
                last_error = error
            except DeadlineExceededError as error:
                last_error = last_error or error  # The answer before says more.
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
        timeout_seconds = max(0.0, deadline - time.monotonic())
        try:
            return self._stubs[method](request, timeout=timeout_seconds)
        except grpc.RpcError as error:
            raise self._failure(error, timeout_seconds) from error

    def _failure(self, error: grpc.RpcError, timeout_seconds: float) -> ServerError:
        if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
            return from_rpc_error(error, self.target)
        try:
            self._check(b"", timeout=HEALTH_CHECK_SECONDS)
        except grpc.RpcError as answer:
            return from_deadline(answer, timeout_seconds, self.target)
        return from_deadline(None, timeout_seconds, self.target)

    def _fetch_metadata(self, asked: Asked, deadline: float) -> ModelMetadata:
        response = self._call("GetModelMetadata", metadata_request(*asked), deadline)
        metadata = ModelMetadata.from_proto(response)
        self._metadata.put(*asked, metadata)
        return metadata
