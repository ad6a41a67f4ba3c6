"""The REST API: routes, bodies, status codes."""

import dataclasses
import logging
import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from homefeed.serving.model_server.api import (
    inference,
    json_answers,
    json_examples,
    json_parsing,
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
_MAX_DIGITS = 19

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
_JSON = "application/json"
_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Request:
    """A whole HTTP request.

    Attributes:
        path: as it was sent, without the query; percent-encoded, since what is encoded does not separate parts.
        headers: value by name in small letters.
        body: unpacked.
    """

    verb: str
    path: str
    headers: Mapping[str, str]
    body: bytes | bytearray


@dataclasses.dataclass(frozen=True)
class Response:
    """What is answered."""

    status: int
    body: bytes
    content_type: str = _JSON


class RestApi:
    """Answers HTTP requests.

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
        self._check_method_name = flags.enable_signature_method_name_check
        self._metrics_path = metrics_path
        self._metrics_text = metrics_text

    def answer(self, request: Request) -> Response:
        """Answers a request; whatever it is, there is an answer."""
        verb, path = request.verb, request.path
        if self._metrics_path and path == self._metrics_path and verb == "GET":
            return Response(200, self._metrics_text().encode(), "text/plain")
        if verb == "OPTIONS" and request.headers.get("origin", "").startswith(("http://", "https://")):
            return Response(200, b"")
        if not path.lower().startswith("/v1/"):
            return Response(404, b"Not Found", "text/plain")
        try:
            return Response(200, self._route(request))
        except StatusError as error:
            return failure(error)
        except Exception as error:
            _logger.exception("A REST request broke down.")
            return failure(StatusError(Code.INTERNAL, f"The server broke down with {type(error).__name__}."))

    def _route(self, request: Request) -> bytes:
        verb, path = request.verb, request.path
        if verb == "POST" and (match := _POST.fullmatch(path)):
            spec, method = _model_spec(match), match["method"].lower()
            with self._observer.request(spec.name, method):
                return self._post(method, spec, request.body)
        if verb == "GET" and (match := _GET.fullmatch(path)):
            if match["model"] is None:
                raise invalid_argument("Missing model name in request.")
            spec = _model_spec(match)
            with self._observer.request(spec.name, "metadata" if match["metadata"] else "status"):
                return self._metadata(spec) if match["metadata"] else self._status(spec)
        raise invalid_argument(f"Malformed request: {verb} {path}")

    def _post(self, method: str, spec: Any, body: bytes | bytearray) -> bytes:
        # The order of the reference: the model first, then the body.
        with self._core.lend(spec) as lent:
            servable = self._observer.timed(lent, method)
            request = json_parsing.parse_object(body)
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


def _model_spec(match: re.Match[str]) -> Any:
    spec = ModelSpec(name=_decoded(match["model"]))
    if match["version"] is not None:
        digits = match["version"].lstrip("0") or "0"
        if len(digits) > _MAX_DIGITS or int(digits) > _MAX_INT64:
            raise invalid_argument(f"Failed to convert version: {match['version'][:100]} to numeric.")
        spec.version.value = int(digits)
    elif match["label"] is not None:
        spec.version_label = _decoded(match["label"])
    return spec


def _decoded(text: str) -> str:
    try:
        return urllib.parse.unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise invalid_argument(f"Malformed request: {text} is not percent-encoded UTF-8.") from error


def failure(error: StatusError, status: int | None = None) -> Response:
    """The answer that tells of an error, with the HTTP status of its code or another one."""
    text = json_writing.string_json(error.message.encode(errors="replace"))
    return Response(status or _HTTP_STATUS[error.code], b'{"error": ' + text + b"}")
