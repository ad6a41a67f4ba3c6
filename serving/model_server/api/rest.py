"""The REST API as a WSGI application: routes, bodies, status codes."""

import dataclasses
import http
import logging
import re
import urllib.parse
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from homefeed.serving.model_server.api import (
    inference,
    json_answers,
    json_examples,
    json_reading,
    json_writing,
    model_service,
)
from homefeed.serving.model_server.api.predict import DEFAULT_SIGNATURE
from homefeed.serving.model_server.core import ServerCore
from homefeed.serving.model_server.errors import Code, StatusError, invalid_argument
from homefeed.serving.model_server.flags import Flags
from homefeed.serving.model_server.messages import (
    ClassificationRequest,
    GetModelMetadataRequest,
    GetModelStatusRequest,
    ModelSpec,
    RegressionRequest,
)
from homefeed.serving.model_server.observation import Observer

_VERSION = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(rf"/v1/models/(?P<model>[^/:]+){_VERSION}:(?P<method>classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(rf"/v1/models(?:/(?P<model>[^/:]+){_VERSION}(?P<metadata>/metadata)?)?", re.IGNORECASE)
_MAX_INT64 = 2**63 - 1

_HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
_PHRASES = {status.value: status.phrase for status in http.HTTPStatus} | {499: "Client Closed Request"}
_JSON = "application/json"
_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _Response:
    status: int
    body: bytes
    content_type: str = _JSON


class RestApi:
    """Answers HTTP requests; a WSGI application.

    Args:
        core: serves the models.
        flags: the command line.
        observer: measures the requests.
        metrics_path: where the metrics are; empty: nowhere.
        metrics_text: writes them.
    """

    def __init__(
        self,
        core: ServerCore,
        flags: Flags,
        observer: Observer,
        metrics_path: str,
        metrics_text: Callable[[], str],
    ):
        self._core = core
        self._observer = observer
        self._timeout_seconds = flags.rest_api_timeout_in_ms / 1000
        self._cors = flags.rest_api_enable_cors_support
        self._max_body_bytes = flags.max_message_bytes
        self._check_method_name = flags.enable_signature_method_name_check
        self._metrics_path = metrics_path
        self._metrics_text = metrics_text

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """See PEP 3333."""
        response = self._respond(environ)
        headers = [("Content-Type", response.content_type), ("Content-Length", str(len(response.body)))]
        if self._cors:
            headers += [
                ("Access-Control-Allow-Origin", "*"),
                ("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, PATCH"),
                ("Access-Control-Allow-Headers", "Content-Type, Authorization, If-None-Match"),
                ("Access-Control-Max-Age", "86400"),
            ]
        start_response(f"{response.status} {_PHRASES[response.status]}", headers)
        return [response.body]

    def _respond(self, environ: dict[str, Any]) -> _Response:
        verb, path = environ["REQUEST_METHOD"], _raw_path(environ)
        if self._metrics_path and path == self._metrics_path and verb == "GET":
            return _Response(200, self._metrics_text().encode(), "text/plain")
        if verb == "OPTIONS" and environ.get("HTTP_ORIGIN", "").startswith(("http://", "https://")):
            return _Response(200, b"")
        if not path.lower().startswith("/v1/"):
            return _Response(404, b"Not Found", "text/plain")
        try:
            return _Response(200, self._route(verb, path, environ))
        except StatusError as error:
            return _failure(error)
        except Exception as error:
            _logger.exception("A REST request broke down.")
            return _failure(StatusError(Code.INTERNAL, f"The server broke down with {type(error).__name__}."))

    def _route(self, verb: str, path: str, environ: dict[str, Any]) -> bytes:
        if verb == "POST" and (match := _POST.fullmatch(path)):
            spec, method = _model_spec(match), match["method"].lower()
            with self._observer.request(spec.name, method):
                return self._post(method, spec, self._body(environ))
        if verb == "GET" and (match := _GET.fullmatch(path)):
            if match["model"] is None:
                raise invalid_argument("Missing model name in request.")
            spec = _model_spec(match)
            with self._observer.request(spec.name, "metadata" if match["metadata"] else "status"):
                return self._metadata(spec) if match["metadata"] else self._status(spec)
        raise invalid_argument(f"Malformed request: {verb} {path}")

    def _body(self, environ: dict[str, Any]) -> bytes:
        body: bytes = environ["wsgi.input"].read()
        if environ.get("HTTP_CONTENT_ENCODING", "").lower() == "gzip":
            return _gunzip(body, self._max_body_bytes)
        return body

    def _post(self, method: str, spec: Any, body: bytes) -> bytes:
        # The order of the reference: the model first, then the body.
        with self._core.lend(spec) as lent:
            servable = self._observer.timed(lent, method)
            request = json_reading.parse_object(body)
            signature_name = request.get("signature_name", "")
            if not isinstance(signature_name, str):
                raise invalid_argument("Malformed request: 'signature_name' key must be a string value.")
            spec.signature_name = signature_name
            if method == "predict":
                return self._predict(servable, spec.signature_name or DEFAULT_SIGNATURE, request)
            input_ = json_examples.parse_input(request)
            if method == "classify":
                message = ClassificationRequest(model_spec=spec, input=input_)
                response = inference.classify(
                    servable, message, self._timeout_seconds, check_method_name=self._check_method_name
                )
                return json_answers.classifications(response.result)
            message = RegressionRequest(model_spec=spec, input=input_)
            response = inference.regress(
                servable, message, self._timeout_seconds, check_method_name=self._check_method_name
            )
            return json_answers.regressions(response.result)

    def _predict(self, servable: Any, signature_name: str, request: dict[str, Any]) -> bytes:
        if signature_name not in servable.signatures:
            raise invalid_argument(f'Serving signature name: "{signature_name}" not found in signature def')
        signature = servable.signatures[signature_name]
        inputs, row_form = json_reading.parse_predict_inputs(request, signature)
        feeds = {signature.inputs[alias]: value for alias, value in inputs.items()}
        values = servable.run(feeds, list(signature.outputs.values()), self._timeout_seconds)
        outputs = dict(zip(signature.outputs, values, strict=True))
        return json_writing.write_predictions(outputs, row_form=row_form)

    def _status(self, spec: Any) -> bytes:
        response = model_service.get_model_status(self._core, GetModelStatusRequest(model_spec=spec))
        return json_answers.status(response)

    def _metadata(self, spec: Any) -> bytes:
        request = GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        response = model_service.get_model_metadata(self._core, request)
        return json_answers.metadata(response)


def _raw_path(environ: dict[str, Any]) -> str:
    """The path as it was sent, percent-encoding included: what is encoded does not separate parts."""
    raw: str = environ.get("REQUEST_URI") or environ["PATH_INFO"]
    return raw.partition("?")[0]


def _model_spec(match: re.Match[str]) -> Any:
    spec = ModelSpec(name=_decoded(match["model"]))
    if match["version"] is not None:
        if int(match["version"]) > _MAX_INT64:
            raise invalid_argument(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(match["version"])
    elif match["label"] is not None:
        spec.version_label = _decoded(match["label"])
    return spec


def _decoded(text: str) -> str:
    try:
        return urllib.parse.unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise invalid_argument(f"Malformed request: {text} is not percent-encoded UTF-8.") from error


def _gunzip(data: bytes, max_bytes: int) -> bytes:
    """Unpacks a body, however small it was packed only up to a limit."""
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        unpacked = unpacker.decompress(data, max_bytes)
    except zlib.error as error:
        raise invalid_argument(f"The body is not gzip, though Content-Encoding says so: {error}") from error
    if unpacker.unconsumed_tail:
        raise invalid_argument(f"The unpacked body is larger than {max_bytes} bytes.")
    return unpacked


def _failure(error: StatusError) -> _Response:
    return _Response(
        _HTTP_STATUS[error.code], b'{"error": ' + json_writing.string_json(error.message.encode()) + b"}"
    )
