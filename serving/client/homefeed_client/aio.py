"""The client for asyncio: the same calls and the same errors, awaited."""

from __future__ import annotations

import asyncio
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


class AsyncPredictionClient:
    """As `PredictionClient`, for use inside one event loop.

    Example:
        >>> async with AsyncPredictionClient("127.0.0.1:8500") as client:  # doctest: +SKIP
        ...     prediction = await client.predict("half_plus_two", {"x": [1.0, 5.0]})
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
            grpc.aio.secure_channel(self.target, credentials, all_options)
            if credentials
            else grpc.aio.insecure_channel(self.target, all_options)
        )
        self._stubs = {
            name: self._channel.unary_unary(path, request_serializer=serialize, response_deserializer=deserialize)
            for name, (path, serialize, deserialize) in METHODS.items()
        }
        self._check = self._channel.unary_unary(HEALTH_CHECK)
        self._metadata = MetadataCache()

    async def predict(
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
        """See `PredictionClient.predict`."""
        deadline = self._deadline(timeout_seconds)
        asked = (model, version, label)
        metadata = self._metadata.get(*asked) or await self._fetch_metadata(asked, deadline)
        try:
            request = predict_request(metadata, inputs, signature, outputs, asked)
        except InvalidInputsError:
            # The server may have moved on to a version with other signatures.
            metadata = await self._fetch_metadata(asked, deadline)
            request = predict_request(metadata, inputs, signature, outputs, asked)
        try:
            response = await self._call("Predict", request, deadline)
        except InvalidRequestError:
            newer = await self._fetch_metadata(asked, deadline)
            if newer.version == metadata.version:
                raise
            request = predict_request(newer, inputs, signature, outputs, asked)
            response = await self._call("Predict", request, deadline)
        prediction = Prediction.from_proto(response)
        self._metadata.answered_by(*asked, prediction.model_version)
        return prediction

    async def predict_batches(
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
        """See `PredictionClient.predict_batches`."""
        metadata = await self._fetch_metadata((model, None, None), self._deadline(timeout_seconds))
        asked = (model, metadata.version, None)
        arrays = signatures.adapt_inputs(metadata, signature, inputs)
        room = asyncio.Semaphore(max_in_flight)

        async def predict(start: int) -> Prediction:
            batch = {name: array[start : start + batch_size] for name, array in arrays.items()}
            request = predict_request(metadata, batch, signature, outputs, asked)
            async with room:
                return Prediction.from_proto(await self._call("Predict", request, self._deadline(timeout_seconds)))

        starts = range(0, signatures.num_rows(arrays), batch_size)
        calls = [asyncio.ensure_future(predict(start)) for start in starts]
        try:
            return join_rows(await asyncio.gather(*calls))
        finally:
            for call in calls:
                call.cancel()

    async def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout_seconds: float | None = None,
    ) -> ModelMetadata:
        """See `PredictionClient.metadata`."""
        request = metadata_request(model, version, label)
        return ModelMetadata.from_proto(
            await self._call("GetModelMetadata", request, self._deadline(timeout_seconds))
        )

    async def status(self, model: str, *, timeout_seconds: float | None = None) -> list[VersionStatus]:
        """See `PredictionClient.status`."""
        response = await self._call("GetModelStatus", status_request(model), self._deadline(timeout_seconds))
        return version_statuses(response)

    async def wait_until_available(
        self, model: str, *, version: int | None = None, timeout_seconds: float = 60.0
    ) -> int:
        """See `PredictionClient.wait_until_available`."""
        deadline = time.monotonic() + timeout_seconds
        not_available = unavailable(model, version, timeout_seconds, self.target)
        last_error: ServerError | None = None
        while True:
            try:
                remaining = max(0.05, deadline - time.monotonic())
                for status in await self.status(model, timeout_seconds=min(remaining, self.timeout_seconds)):
                    if status.state == "AVAILABLE" and version in (None, status.version):
                        return status.version
                last_error = not_available
            except (ModelNotFoundError, ServerUnavailableError) as error:
                last_error = error
            except DeadlineExceededError as error:
                last_error = last_error or error  # The answer before says more.
            if time.monotonic() >= deadline:
                raise last_error
            await asyncio.sleep(min(0.1, timeout_seconds / 10))

    async def close(self) -> None:
        """Closes the connection; calls in flight are cancelled."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncPredictionClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _deadline(self, timeout_seconds: float | None) -> float:
        return time.monotonic() + (self.timeout_seconds if timeout_seconds is None else timeout_seconds)

    async def _call(self, method: str, request: Any, deadline: float) -> Any:
        timeout_seconds = max(0.0, deadline - time.monotonic())
        try:
            return await self._stubs[method](request, timeout=timeout_seconds)
        except grpc.RpcError as error:
            raise await self._failure(error, timeout_seconds) from error

    async def _failure(self, error: grpc.RpcError, timeout_seconds: float) -> ServerError:
        if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
            return from_rpc_error(error, self.target)
        try:
            await self._check(b"", timeout=HEALTH_CHECK_SECONDS)
        except grpc.RpcError as answer:
            return from_deadline(answer, timeout_seconds, self.target)
        return from_deadline(None, timeout_seconds, self.target)

    async def _fetch_metadata(self, asked: Asked, deadline: float) -> ModelMetadata:
        response = await self._call("GetModelMetadata", metadata_request(*asked), deadline)
        metadata = ModelMetadata.from_proto(response)
        self._metadata.put(*asked, metadata)
        return metadata
