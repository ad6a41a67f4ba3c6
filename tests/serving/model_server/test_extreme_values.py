"""Whatever numbers come in, over gRPC and over REST, no score that goes out is NaN or infinite."""

import http.client
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from homefeed_client import PredictionClient

from homefeed.serving.releases import Releases
from tests.serving.servers import free_port, running_server

MODELS = ("fused", "ranking", "retrieval")
FLOATS = [1e38, -1e38, 1.7e38, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1.1e-38, -0.0, 65504.0]
WHOLE = {np.dtype(np.int32): [-(2**31), 2**31 - 1, -1], np.dtype(np.int64): [-(2**63), 2**63 - 1, -1]}


@pytest.fixture(scope="module")
def ports(sample_root: pathlib.Path) -> Iterator[tuple[int, int]]:
    releases, rest_port = Releases(sample_root / "serving"), free_port()
    config_file = f"{releases.root}/model.config"
    with running_server(
        model_config_file=config_file,
        allow_version_labels_for_unavailable_models=True,
        rest_api_port=rest_port,
        enable_batching=True,
        enable_model_warmup=False,
    ) as server:
        yield server.grpc_port, rest_port


@pytest.mark.slow  # Thousands of values, of trained models.
@pytest.mark.parametrize("model", MODELS)
def test_no_score_is_nan_or_infinite(ports: tuple[int, int], model: str) -> None:
    grpc_port, rest_port = ports
    num_asked = 0
    with PredictionClient(f"127.0.0.1:{grpc_port}", timeout_seconds=60) as client:
        for name, signature in client.metadata(model).signatures.items():
            for inputs in _extreme(signature):
                num_asked += 1
                for alias, values in client.predict(model, inputs, signature=name).outputs.items():
                    assert values.dtype.kind != "f" or np.isfinite(values).all(), (name, alias, inputs)
                text = _post(rest_port, model, name, inputs)
                assert "NaN" not in text and "Infinity" not in text, (name, inputs, text)
    assert num_asked > 1


def _extreme(signature: Any) -> Iterator[dict[str, Any]]:
    """Requests with a row for each extreme value, first in one of the inputs, then in all of them."""
    known: dict[str, Any] = {"history": [["item-0001", "item-0002"]]}
    if "candidates" in signature.inputs:
        known |= {"candidates": [["item-0001", "item-0003", "nobody"]], "retrieval_scores": [[0.1, 0.2, 0.3]]}
    base = signature.complete({alias: value for alias, value in known.items() if alias in signature.inputs})
    rows = {alias: np.repeat(np.asarray(value), len(FLOATS), axis=0) for alias, value in base.items()}
    changed = {}
    for alias, values in rows.items():
        extremes = FLOATS if values.dtype.kind == "f" else WHOLE.get(values.dtype)
        if alias == "k" or not extremes or not values.size:
            continue
        column = np.resize(np.array(extremes, values.dtype), len(FLOATS))
        changed[alias] = values.copy()
        (changed[alias] if values.ndim == 1 else changed[alias][..., -1]).T[...] = column
        yield rows | {alias: changed[alias]}
    yield rows | changed


def _post(port: int, model: str, signature: str, inputs: dict[str, Any]) -> str:
    text = np.vectorize(lambda value: value.decode() if isinstance(value, bytes) else value, otypes=[object])
    plain = {alias: (text(value) if value.dtype == object else value).tolist() for alias, value in inputs.items()}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(
        "POST", f"/v1/models/{model}:predict", json.dumps({"signature_name": signature, "inputs": plain})
    )
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    assert response.status == 200, body
    return body
