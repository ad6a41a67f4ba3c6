"""The REST API: routes, row and column form, b64, how numbers are written, and the errors."""

import base64
import gzip
import http.client
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from homefeed.serving.model_server.api.json_tensors import number_json
from tests.serving.conftest import Models
from tests.serving.servers import eventually, free_port, running_server


class Rest:
    """Speaks HTTP without a library that would mend what is sent."""

    def __init__(self, port: int):
        self.port = port

    def send(self, verb: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        connection.request(verb, path, data, {key.replace("_", "-"): value for key, value in headers.items()})
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        return response.status, dict(response.getheaders()), answer

    def post(self, path: str, body: Any, **headers: str) -> Any:
        status, _, answer = self.send("POST", path, body, **headers)
        assert status == 200, answer
        return json.loads(answer)

    def error(self, status: int, verb: str, path: str, body: Any = None, **headers: str) -> str:
        found, answer_headers, answer = self.send(verb, path, body, **headers)
        assert found == status, answer
        assert answer_headers["Content-Type"] == "application/json"
        (error,) = json.loads(answer).values()
        return str(error)


@pytest.fixture(scope="module")
def rest(models: Models, tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    root = tmp_path_factory.mktemp("served")
    models.publish("half_plus_two", root / "half", 1)
    models.publish("tf1", root / "tf1", 1)
    _save_types(tf, str(root / "types" / "1"))
    entries = "".join(
        f"config {{ name: '{name}' base_path: '{root}/{name}' model_platform: 'tensorflow' }}"
        for name in ("half", "tf1", "types")
    )
    config = root / "models.config"
    config.write_text(f"model_config_list {{ {entries} }}")
    port = free_port()
    with running_server(model_config_file=str(config), rest_api_port=port, rest_api_timeout_in_ms=2000):
        yield Rest(port)


def _save_types(tf: Any, path: str) -> None:
    """One signature a type, `<name>(v) -> {v}`, and outputs that row form cannot write."""

    def echo(dtype: Any) -> Any:
        return tf.function(lambda v: {"v": tf.identity(v)}).get_concrete_function(
            tf.TensorSpec(None, dtype, name="v")
        )

    names = ("float32", "float64", "int8", "int32", "int64", "uint8", "bool", "string", "half", "uint16", "complex64")
    module = tf.Module()
    signatures = {name: echo(tf.dtypes.as_dtype(name)) for name in names}
    signatures["uneven"] = tf.function(
        lambda v: {"a": v, "b": tf.concat([v, v], 0)}
    ).get_concrete_function(tf.TensorSpec([None], tf.float32, name="v"))  # fmt: skip
    module.functions = list(signatures.values())
    tf.saved_model.save(module, path, signatures=signatures)


HALF = "/v1/models/half:predict"
TYPES = "/v1/models/types:predict"


def test_row_form_with_one_input_and_one_output_gives_bare_rows(rest: Rest) -> None:
    assert rest.post(HALF, {"instances": [[2.0], [6]]}) == {"predictions": [[3.0], [5.0]]}


def test_row_form_takes_the_one_input_by_name_too(rest: Rest) -> None:
    assert rest.post(HALF, {"instances": [{"x": [2.0]}, {"x": [6]}]}) == {"predictions": [[3.0], [5.0]]}


def test_row_form_without_inner_axis(rest: Rest) -> None:
    assert rest.post(HALF, {"instances": [2.0, 6.0]}) == {"predictions": [3.0, 5.0]}


def test_row_form_with_several_outputs_gives_an_object_a_row_and_bytes_as_b64(rest: Rest) -> None:
    answer = rest.post(
        HALF, {"signature_name": "shout", "instances": ["ab", {"b64": base64.b64encode(b"c").decode()}]}
    )
    assert answer == {
        "predictions": [
            {"length": 2, "raw_bytes": {"b64": "QUI="}, "upper": "AB"},
            {"length": 1, "raw_bytes": {"b64": "Qw=="}, "upper": "C"},
        ]
    }


def test_column_form(rest: Rest) -> None:
    assert rest.post(HALF, {"inputs": [[2.0], [6.0]]}) == {"outputs": [[3.0], [5.0]]}
    assert rest.post(HALF, {"inputs": {"x": [[2.0]], "surplus": "ignored"}}) == {"outputs": [[3.0]]}
    assert rest.post(HALF, {"inputs": 2.0}) == {"outputs": 3.0}


def test_column_form_with_several_inputs_and_outputs(rest: Rest) -> None:
    answer = rest.post(HALF, {"signature_name": "multiply", "inputs": {"a": [[1, 2]], "b": [[1, 2, 3], [4, 5, 6]]}})
    # 1*1 + 2*4 = 9, 1*2 + 2*5 = 12, 1*3 + 2*6 = 15
    assert answer == {"outputs": {"product": [[9.0, 12.0, 15.0]], "total": 36.0}}


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


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"{", "JSON Parse error: "),
        (b'{"a": 1,]', "at offset: 8"),
        (b"[1]", "Is not object"),
        (b'{"instances": "\xff"}', "JSON Parse error: Invalid encoding in string. at offset: 15"),
        (b"[" * 100_000, "JSON Parse error: "),
        (b'{"instances": 1' + b"0" * 10_000 + b"}", "JSON Parse error: "),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"instances": [[1]], "inputs": [[1]]}, "expecting only one of 'inputs' or 'instances'"),
        ({"instances": 1}, "Expecting 'instances' to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"signature_name": 1, "instances": [[1]]}, "'signature_name' key must be a string value."),
        ({"signature_name": "no", "instances": [[1]]}, 'Serving signature name: "no" not found in signature def'),
        ({"instances": [[1], [1, 2]]}, "element: 1 key: x of 'instances' list. Error: INVALID_ARGUMENT: "),
        ({"instances": [[1], [1, 2]]}, "Expecting tensor size: 1 but got: 2"),
        ({"instances": [[1, 2], [[1, 2]]]}, "Expecting shape [2] but got: [1,2]"),
        ({"instances": [[[1], [1, 2]]]}, "Encountered list at unexpected size: "),
        ({"instances": [[1, [2]]]}, "INVALID_ARGUMENT: JSON Value: [2] Type: Array is not of expected type: float"),
        ({"instances": [["a"]]}, 'JSON Value: "a" Type: String is not of expected type: float'),
        ({"instances": [[True]]}, "JSON Value: true Type: True is not of expected type: float"),
        ({"instances": [{"z": 1}]}, "keys must be equal to: x"),
        ({"instances": [{"x": 1}, 2]}, "mix"),
        ({"signature_name": "multiply", "instances": [1]}, "expecting list of objects"),
        ({"signature_name": "multiply", "instances": [{"a": 1}]}, "keys must be equal to: a,b"),
        ({"signature_name": "multiply", "inputs": [1]}, "expecting an object"),
        ({"signature_name": "multiply", "inputs": {"a": 1}}, "Missing named input: b in 'inputs' object."),
        ({"signature_name": "shout", "instances": [{"b64": "?"}]}, "not a valid base64"),
        ({"signature_name": "shout", "instances": [1]}, "JSON Value: 1 Type: Number is not of expected type: string"),
        # An op that refuses says so as over gRPC.
        ({"signature_name": "multiply", "inputs": {"a": [[1, 2, 3]], "b": [[1], [2]]}}, "Matrix size-incompatible"),
    ],
)  # fmt: skip
def test_faulty_bodies_are_400_and_say_what_is_wrong(rest: Rest, body: Any, words: str) -> None:
    assert words in rest.error(400, "POST", HALF, body)


def test_what_follows_the_object_is_ignored(rest: Rest) -> None:
    assert rest.post(HALF, b' {"instances": [[2]]} trailing') == {"predictions": [[3.0]]}


def test_words_for_numbers_that_are_not_finite(rest: Rest) -> None:
    _, _, answer = rest.send("POST", HALF, b'{"inputs": [NaN, Infinity, -Infinity, 2]}')
    assert answer == b'{"outputs": [NaN, Infinity, -Infinity, 3.0]}'


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("float32", [1.5, -2.0]),
        ("float64", [0.1, 1e300]),
        ("int8", [-128, 127]),
        ("int32", [-(2**31), 2**31 - 1]),
        ("int64", [-(2**63), 2**63 - 1]),
        ("uint8", [0, 255]),
        ("bool", [True, False]),
        ("string", ["中文", 'quote " and \n']),
    ],
)
def test_each_type_comes_back_as_it_went(rest: Rest, name: str, value: Any) -> None:
    assert rest.post(TYPES, {"signature_name": name, "inputs": value}) == {"outputs": value}


@pytest.mark.parametrize(
    ("name", "value"),
    [("int32", 2.0), ("int32", 2**31), ("int8", -129), ("uint8", -1), ("bool", 1), ("int64", True), ("string", True)],
)
def test_values_of_another_type_are_refused(rest: Rest, name: str, value: Any) -> None:
    error = rest.error(400, "POST", TYPES, {"signature_name": name, "inputs": [value]})
    assert f"is not of expected type: {name}" in error


@pytest.mark.parametrize("name", ["half", "uint16", "complex64"])
def test_types_without_json_form_are_unimplemented(rest: Rest, name: str) -> None:
    assert name in rest.error(501, "POST", TYPES, {"signature_name": name, "inputs": [1]})
    assert name in rest.error(400, "POST", TYPES, {"signature_name": name, "instances": [1]})


def test_row_form_needs_a_common_first_dimension(rest: Rest) -> None:
    total = {"signature_name": "multiply", "instances": [{"a": [1, 2], "b": [1]}, {"a": [1, 2], "b": [1]}]}
    assert rest.error(400, "POST", HALF, total) == "Tensor name: total has no shape information"
    uneven = {"signature_name": "uneven", "instances": [1.0, 2.0]}
    assert "Tensor name: b has inconsistent batch size: 4" in rest.error(400, "POST", TYPES, uneven)


def test_a_request_that_runs_too_long_is_504(rest: Rest) -> None:
    rest.error(504, "POST", HALF, {"signature_name": "count", "inputs": 10**12})


def test_cors_preflight_is_answered_but_allows_nothing_by_default(rest: Rest) -> None:
    status, headers, _ = rest.send("OPTIONS", HALF, Origin="https://example.com")
    assert status == 200
    assert not any(name.startswith("Access-Control") for name in headers)


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (3.0, np.float32, "3.0"),
        (9e6, np.float32, "9e+06"),
        (0.1, np.float32, "0.1"),
        (1 / 3, np.float32, "0.333333343"),
        (1 / 3, np.float64, "0.33333333333333331"),
        (123456789.0, np.float64, "123456789.0"),
        (-0.0, np.float32, "-0.0"),
        (1e-45, np.float32, "1.4013e-45"),
    ],
)
def test_numbers_carry_a_point_or_an_exponent_and_read_back_the_same(value: float, dtype: Any, text: str) -> None:
    value = float(dtype(value))
    assert number_json(value, dtype) == text
    assert dtype(json.loads(text)) == dtype(value)


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
