"""Classifications, regressions, status and metadata as the REST API's JSON."""

import json
from typing import Any

from homefeed_client import protos, tensors

from homefeed.serving.model_server.api import json_writing
from homefeed.serving.model_server.errors import Code
from homefeed.serving.model_server.messages import SignatureDefMap


def classifications(result: Any) -> bytes:
    """A ClassificationResult: for each example its `[label, score]` pairs."""
    rows = [
        b"["
        + b", ".join(
            b"[%s, %s]"
            % (json_writing.string_json(entry.label.encode()), json_writing.number_json(entry.score).encode())
            for entry in one.classes
        )
        + b"]"
        for one in result.classifications
    ]
    return b'{"results": [' + b", ".join(rows) + b"]}"


def regressions(result: Any) -> bytes:
    """A RegressionResult: one number for each example."""
    values = [json_writing.number_json(regression.value) for regression in result.regressions]
    return f'{{"results": [{", ".join(values)}]}}'.encode()


def status(response: Any) -> bytes:
    """A GetModelStatusResponse."""
    states = protos.enum("tensorflow.serving.ModelVersionStatus.State").values_by_number
    document = {
        "model_version_status": [
            {
                "version": str(entry.version),
                "state": states[entry.state].name,
                "status": {
                    "error_code": Code(entry.status.error_code).name,
                    "error_message": entry.status.error_message,
                },
            }
            for entry in response.model_version_status
        ]
    }
    return json.dumps(document, indent=1).encode()


def metadata(response: Any) -> bytes:
    """A GetModelMetadataResponse, every field written out."""
    signatures = SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    document = {
        "model_spec": {
            "name": response.model_spec.name,
            "signature_name": "",
            "version": str(response.model_spec.version.value),
        },
        "metadata": {
            "signature_def": {
                "signature_def": {
                    name: _signature_dict(signature) for name, signature in sorted(signatures.signature_def.items())
                }
            }
        },
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def _signature_dict(signature: Any) -> dict[str, Any]:
    return {
        "inputs": {alias: _tensor_info_dict(info) for alias, info in sorted(signature.inputs.items())},
        "outputs": {alias: _tensor_info_dict(info) for alias, info in sorted(signature.outputs.items())},
        "method_name": signature.method_name,
        "defaults": {
            alias: {"dtype": _dtype_json(value.dtype), "value": tensors.to_array(value).astype(str).tolist()}
            for alias, value in sorted(signature.defaults.items())
        },
    }


def _tensor_info_dict(info: Any) -> dict[str, Any]:
    shape = info.tensor_shape
    return {
        "dtype": _dtype_json(info.dtype),
        "tensor_shape": {
            "dim": [{"size": str(dim.size), "name": dim.name} for dim in shape.dim],
            "unknown_rank": shape.unknown_rank,
        },
        "name": info.name,
    }


def _dtype_json(number: int) -> str:
    return f"DT_{tensors.dtype_name(number).upper()}"
