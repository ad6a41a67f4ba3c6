"""The asyncio client against a real model server."""

import asyncio
import pathlib

import homefeed_client
import numpy as np
import pytest
from homefeed_client import AsyncPredictionClient

from tests.serving.conftest import Models
from tests.serving.servers import running_server


def test_calls_run_at_the_same_time_and_errors_are_typed(models: Models, tmp_path: pathlib.Path) -> None:
    models.publish("half_plus_two", tmp_path / "half", 1)

    async def use(target: str) -> None:
        async with AsyncPredictionClient(target, timeout_seconds=20) as client:
            assert await client.wait_until_available("half") == 1
            calls = [client.predict("half", {"x": [[number]]}) for number in range(20)]
            predictions = await asyncio.gather(*calls)
            assert [float(p.outputs["y"][0, 0]) for p in predictions] == [number / 2 + 2 for number in range(20)]
            assert {p.model_version for p in predictions} == {1}
            assert "shout" in (await client.metadata("half")).signatures
            assert [status.state for status in await client.status("half")] == ["AVAILABLE"]

            x = np.arange(10, dtype=np.float32).reshape(-1, 1)
            batched = await client.predict_batches("half", {"x": x}, batch_size=3, max_in_flight=2)
            np.testing.assert_array_equal(batched.outputs["y"], x / 2 + 2)
            with pytest.raises(homefeed_client.InvalidRequestError, match="alias not found"):
                await client.predict_batches("half", {"x": x}, outputs=("z",), batch_size=3)

            with pytest.raises(homefeed_client.InvalidInputsError, match="`x` is missing"):
                await client.predict("half", {})
            with pytest.raises(homefeed_client.ModelNotFoundError):
                await client.predict("other", {"x": [[1]]})
            with pytest.raises(homefeed_client.DeadlineExceededError):
                await client.predict("half", {"limit": 10**12}, signature="count", timeout_seconds=0.3)
            with pytest.raises(homefeed_client.InvalidRequestError, match="alias not found"):
                await client.predict("half", {"x": [[1]]}, outputs=("z",))
            with pytest.raises(homefeed_client.ServerUnavailableError, match="version 9"):
                await client.wait_until_available("half", version=9, timeout_seconds=0.2)

    with running_server(model_name="half", model_base_path=str(tmp_path / "half")) as server:
        asyncio.run(use(f"127.0.0.1:{server.grpc_port}"))
