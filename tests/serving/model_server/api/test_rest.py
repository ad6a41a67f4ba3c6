"""The REST API: routes, row and column form, b64, how numbers are written, and the errors."""

import gzip
import http.client
import json
from typing import Any

import pytest

from tests.serving.conftest import Models
from tests.serving.model_server.api.rest_client import HALF, Rest
from tests.serving.servers import eventually, free_port, running_server


def test_an_exact_version_and_any_case_of_the_route(rest: Rest) -> None:
    assert rest.post("/v1/models/half/versions/1:predict", {"instances": [[2]]}) == {"predictions": [[3.0]]}
    assert rest.post("/V1/Models/half:PREDICT", {"instances": [[2]]}) == {"predictions": [[3.0]]}
    assert rest.post("/v1/models/%68alf:predict", {"instances": [[2]]}) == {"predictions": [[3.0]]}


def test_a_gzipped_body_is_unpacked(rest: Rest) -> None:
    body = gzip.compress(json.dumps({"instances": [[2]]}).encode())
    assert rest.post(HALF, body, Content_Encoding="gzip") == {"predictions": [[3.0]]}
    assert "not gzip" in rest.error(400, "POST", HALF, b"{}", Content_Encoding="gzip")


def test_a_chunked_body_is_read(rest: Rest) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", rest.port, timeout=30)
    connection.request("POST", HALF, iter([b'{"inst', b'ances": [[2]]}']), encode_chunked=True)
    assert json.loads(connection.getresponse().read()) == {"predictions": [[3.0]]}
    connection.close()


def test_classify_and_regress(rest: Rest) -> None:
    examples = [{"x": 2.0}, {"x": [6.0]}]
    answer = rest.post("/v1/models/tf1:classify", {"signature_name": "classify_x_to_y", "examples": examples})
    assert answer == {"results": [[["", 3.0]], [["", 5.0]]]}
    answer = rest.post("/v1/models/tf1:regress", {"signature_name": "regress_x_to_y", "examples": examples})
    assert answer == {"results": [3.0, 5.0]}
    with_context = {"signature_name": "regress_x_to_y", "context": {"x": 2.0}, "examples": [{}, {"x": 6.0}]}
    assert rest.post("/v1/models/tf1:regress", with_context) == {"results": [3.0, 5.0]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "key 'examples' is expected"),
        ({"examples": {}}, "to be a list/array"),
        ({"examples": []}, "empty array"),
        ({"examples": [1]}, "Example must be JSON object"),
        ({"examples": [{"x": [1, 2.0]}]}, "one kind"),
        ({"examples": [{"x": None}]}, "Feature x of example 0"),
        ({"examples": [{"x": {"b65": ""}}]}, "b64"),
        # An integer token makes an int64 feature, which the model does not take.
        ({"examples": [{"x": 2}]}, "Data types don't match"),
    ],
)
def test_faulty_examples_are_told(rest: Rest, body: Any, words: str) -> None:
    body = {"signature_name": "regress_x_to_y"} | body
    assert words in rest.error(400, "POST", "/v1/models/tf1:regress", body)


@pytest.mark.parametrize("key", [r"\ud800", r"\udfff"])
def test_half_a_character_in_an_example(rest: Rest, key: str) -> None:
    body = f'{{"signature_name": "regress_x_to_y", "examples": [{{"{key}": 1}}]}}'.encode()
    assert "surrogate" in rest.error(400, "POST", "/v1/models/tf1:regress", body)


def test_a_version_of_endless_digits(rest: Rest) -> None:
    error = rest.error(400, "GET", f"/v1/models/half/versions/{'9' * 5000}")
    assert error.startswith("Failed to convert version: 999")
    assert rest.send("GET", f"/v1/models/half/versions/{'0' * 5000}1")[0] == 200


def test_status(rest: Rest) -> None:
    available = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in ("/v1/models/half", "/v1/models/half/versions/1"):
        status, headers, answer = rest.send("GET", path)
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert json.loads(answer) == {"model_version_status": [available]}
    assert "Could not find any versions of model other" in rest.error(404, "GET", "/v1/models/other")
    assert "Could not find version 9 of model half" in rest.error(404, "GET", "/v1/models/half/versions/9")


def test_metadata(rest: Rest) -> None:
    _, _, answer = rest.send("GET", "/v1/models/half/metadata")
    document = json.loads(answer)
    assert document["model_spec"] == {"name": "half", "signature_name": "", "version": "1"}
    signatures = document["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"__saved_model_init_op", "count", "multiply", "serving_default", "shout"}
    assert signatures["serving_default"] == {
        "inputs": {
            "x": {
                "dtype": "DT_FLOAT",
                "tensor_shape": {
                    "dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}],
                    "unknown_rank": False,
                },
                "name": "serving_default_x:0",
            }
        },
        "outputs": {
            "y": {
                "dtype": "DT_FLOAT",
                "tensor_shape": {
                    "dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}],
                    "unknown_rank": False,
                },
                "name": signatures["serving_default"]["outputs"]["y"]["name"],
            }
        },
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/v1/models/half:predict"),
        ("POST", "/v1/models/half"),
        ("POST", "/v1/models/half:explain"),
        ("POST", "/v1/models/half/versions/x:predict"),
        ("PUT", "/v1/models/half:predict"),
        ("DELETE", "/v1/models/half"),
        ("GET", "/v1/other"),
        ("GET", "/v1/models/half/versions/1/labels/a"),
    ],
)
def test_any_other_route_is_malformed(rest: Rest, verb: str, path: str) -> None:
    assert rest.error(400, verb, path, b"{}") == f"Malformed request: {verb} {path}"


def test_other_faulty_routes(rest: Rest) -> None:
    assert rest.error(400, "GET", "/v1/models") == "Missing model name in request."
    assert "Failed to convert version" in rest.error(400, "GET", "/v1/models/half/versions/9223372036854775808")
    assert "Unrecognized servable version label: no" in rest.error(
        400, "POST", "/v1/models/half/labels/no:predict", {"instances": [[1]]}
    )
    for path in ("/", "/v2/models/half", "/../etc/passwd"):
        status, headers, _ = rest.send("GET", path)
        assert status == 404
        assert headers["Content-Type"] != "application/json"


def test_an_unknown_model_is_404_before_the_body_is_looked_at(rest: Rest) -> None:
    assert rest.error(404, "POST", "/v1/models/no:predict", b"{") == "Servable not found for request: Latest(no)"


def test_slashes_in_a_name_do_not_lead_anywhere(rest: Rest) -> None:
    error = rest.error(404, "GET", "/v1/models/..%2F..%2Fetc/metadata")
    assert error == "Servable not found for request: Latest(../../etc)"


def test_a_request_that_runs_too_long_is_504(rest: Rest) -> None:
    rest.error(504, "POST", HALF, {"signature_name": "count", "inputs": 10**12})


def test_cors_preflight_is_answered_but_allows_nothing_by_default(rest: Rest) -> None:
    status, headers, _ = rest.send("OPTIONS", HALF, Origin="https://example.com")
    assert status == 200
    assert not any(name.startswith("Access-Control") for name in headers)


def test_labels_cors_and_metrics(models: Models, tmp_path: Any) -> None:
    models.publish("half_plus_two", tmp_path / "half", 1)
    models_config, monitoring = tmp_path / "models.config", tmp_path / "monitoring.config"
    entry = f"name: 'half' base_path: '{tmp_path}/half' model_platform: 'tensorflow'"
    models_config.write_text(f"model_config_list {{ config {{ {entry} }} }}")
    monitoring.write_text("prometheus_config { enable: true }")
    port = free_port()
    with running_server(
        model_config_file=str(models_config),
        model_config_file_poll_wait_seconds=0.1,
        monitoring_config_file=str(monitoring),
        rest_api_port=port,
        rest_api_enable_cors_support=True,
    ):
        rest = Rest(port)
        models_config.write_text(
            f"model_config_list {{ config {{ {entry} version_labels {{ key: 'stable' value: 1 }} }} }}"
        )
        eventually(lambda: rest.send("POST", "/v1/models/half/labels/stable:predict", {"instances": [[2]]})[0] == 200)
        status, headers, _ = rest.send("GET", "/v1/models/half/labels/stable")
        assert status == 200
        assert headers["Access-Control-Allow-Origin"] == "*"

        rest.error(404, "POST", "/v1/models/other:predict", b"{}")
        status, headers, answer = rest.send("GET", "/monitoring/prometheus/metrics")
        assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/plain")
        lines = answer.decode().splitlines()
        assert "# TYPE :tensorflow:serving:request_count counter" in lines
        assert ':tensorflow:serving:request_count{model_name="other",status="NOT_FOUND"} 1' in lines
        latency = 'request_latency_bucket{model_name="half",API="predict",entrypoint="REST",le="'
        buckets = [line for line in lines if f":tensorflow:serving:{latency}" in line]
        assert len(buckets) == 34
        assert 'le="10"' in buckets[0]
        assert 'le="+Inf"' in buckets[-1]
        counts = [int(line.rsplit(" ", 1)[1]) for line in buckets]
        assert counts == sorted(counts)
        labels = 'model_name="half",API="predict",entrypoint="REST"'
        assert f":tensorflow:serving:request_latency_count{{{labels}}} {counts[-1]}" in lines
        assert any(
            line.startswith(":tensorflow:serving:runtime_latency_sum") and 'runtime="TF1"' in line for line in lines
        )
