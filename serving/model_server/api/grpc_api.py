"""The gRPC face: which handler answers which method, and how a failure becomes a status."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from homefeed_client import protos

from homefeed.serving.model_server.api import inference, model_service
from homefeed.serving.model_server.api.predict import predict
from homefeed.serving.model_server.core import ServerCore
from homefeed.serving.model_server.errors import Code, StatusError, invalid_argument
from homefeed.serving.model_server.flags import Flags
from homefeed.serving.model_server.loading.servable import Servable
from homefeed.serving.model_server.observation import Observer

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"

_MAX_ERROR_CHARACTERS = 1024
# No deadline comes as a time ages away.
_NO_DEADLINE_SECONDS = 10 * 365 * 24 * 3600.0
_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}
_logger = logging.getLogger(__name__)

_MALFORMED = object()

Method = Callable[[Any, grpc.ServicerContext], Any]


def to_grpc_status(error: StatusError) -> tuple[grpc.StatusCode, str]:
    """The gRPC code and the words, cut to what a trailer can carry."""
    message = error.message
    if len(message) > _MAX_ERROR_CHARACTERS:
        message = message[:_MAX_ERROR_CHARACTERS] + "...TRUNCATED"
    return _STATUS_CODES[int(error.code)], message


def time_left(context: grpc.ServicerContext) -> float | None:
    """Seconds until the caller's deadline, None without one.

    Raises:
        StatusError: DEADLINE_EXCEEDED, it has passed.
    """
    seconds = context.time_remaining()
    if seconds is None or seconds > _NO_DEADLINE_SECONDS:
        return None
    if seconds <= 0:
        raise StatusError(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification")
    return float(seconds)


class PredictionService:
    """tensorflow.serving.PredictionService."""

    def __init__(self, core: ServerCore, flags: Flags, observer: Observer):
        self._core = core
        self._observer = observer
        self._check_method_name = flags.enable_signature_method_name_check
        self._as_tensor_content = flags.enable_serialization_as_tensor_content

    def methods(self) -> dict[str, Method]:
        """Handler by method name."""
        return {
            "Predict": self.predict,
            "Classify": self.classify,
            "Regress": self.regress,
            "MultiInference": self.multi_inference,
            "GetModelMetadata": self.get_model_metadata,
        }

    def predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        """See `predict.predict`."""
        with self._lend(request, "Predict") as servable:
            return predict(
                servable,
                request,
                time_left(context),
                as_tensor_content=self._as_tensor_content,
                check_method_name=self._check_method_name,
            )

    def classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        """See `inference.classify`."""
        with self._lend(request, "Classify") as servable:
            return inference.classify(
                servable, request, time_left(context), check_method_name=self._check_method_name
            )

    def regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        """See `inference.regress`."""
        with self._lend(request, "Regress") as servable:
            return inference.regress(servable, request, time_left(context), check_method_name=self._check_method_name)

    def multi_inference(self, request: Any, context: grpc.ServicerContext) -> Any:
        """See `inference.multi_inference`."""
        # Not counted, as in the reference.
        with self._core.lend(inference.multi_inference_model_spec(request)) as servable:
            return inference.multi_inference(servable, request, time_left(context))

    @contextlib.contextmanager
    def _lend(self, request: Any, api: str) -> Iterator[Servable]:
        with (
            self._observer.request(request.model_spec.name, api),
            self._core.lend(_model_spec(request)) as servable,
        ):
            yield self._observer.timed(servable, api)

    def get_model_metadata(self, request: Any, _: grpc.ServicerContext) -> Any:
        """See `model_service.get_model_metadata`."""
        return model_service.get_model_metadata(self._core, request)


class ModelService:
    """tensorflow.serving.ModelService."""

    def __init__(self, core: ServerCore):
        self._core = core

    def methods(self) -> dict[str, Method]:
        """Handler by method name."""
        return {
            "GetModelStatus": self.get_model_status,
            "HandleReloadConfigRequest": self.handle_reload_config_request,
        }

    def get_model_status(self, request: Any, _: grpc.ServicerContext) -> Any:
        """See `model_service.get_model_status`."""
        return model_service.get_model_status(self._core, request)

    def handle_reload_config_request(self, request: Any, context: grpc.ServicerContext) -> Any:
        """See `model_service.reload_config`."""
        response, error = model_service.reload_config(self._core, request, gives_up=lambda: not context.is_active())
        if error:
            code, details = to_grpc_status(error)
            context.set_code(code)
            context.set_details(details)
        return response


def _model_spec(request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    return request.model_spec


def add_services(server: grpc.Server, core: ServerCore, flags: Flags, observer: Observer) -> None:
    """Adds PredictionService and ModelService, and health and reflection where the flags ask for them."""
    services = {
        PREDICTION_SERVICE: PredictionService(core, flags, observer).methods(),
        MODEL_SERVICE: ModelService(core).methods(),
    }
    server.add_generic_rpc_handlers([_generic_handler(name, methods) for name, methods in services.items()])
    if flags.enable_grpc_healthcheck_service:
        _add_health(server)
    if flags.enable_grpc_reflection:
        _add_reflection(server)


def _add_health(server: grpc.Server) -> None:
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    servicer = health.HealthServicer()
    # The short names are the reference's.
    for name in ("", "ModelService", "PredictionService"):
        servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)


def _add_reflection(server: grpc.Server) -> None:
    from grpc_reflection.v1alpha import reflection

    reflection.enable_server_reflection(
        [PREDICTION_SERVICE, MODEL_SERVICE, reflection.SERVICE_NAME], server, pool=protos.POOL
    )


def _generic_handler(service_name: str, methods: dict[str, Method]) -> grpc.GenericRpcHandler:
    """Binds methods to a service of our descriptor pool."""
    service = protos.POOL.FindServiceByName(service_name)
    handlers = {}
    for name, method in methods.items():
        descriptor = service.methods_by_name[name]
        handlers[name] = grpc.unary_unary_rpc_method_handler(
            _with_status(method),
            request_deserializer=_parser(protos.message(descriptor.input_type.full_name)),
            response_serializer=protos.message(descriptor.output_type.full_name).SerializeToString,
        )
    return grpc.method_handlers_generic_handler(service_name, handlers)


def _parser(message_class: Any) -> Callable[[bytes], Any]:
    """Reads a request, or says that it is none.

    Raising here, or returning None, makes gRPC keep about 15 KB for each such request and never let go of it.
    """

    def parse(data: bytes) -> Any:
        try:
            return message_class.FromString(data)
        except DecodeError:
            return _MALFORMED

    return parse


def _with_status(method: Method) -> Method:
    """Turns a StatusError into the RPC's status, and a bug into INTERNAL without its insides."""

    def handle(request: Any, context: grpc.ServicerContext) -> Any:
        if request is _MALFORMED:
            context.abort(grpc.StatusCode.INTERNAL, "Unable to parse request")
        try:
            return method(request, context)
        except StatusError as error:
            context.abort(*to_grpc_status(error))
        except Exception as error:
            _logger.exception("A request broke down.")
            context.abort(grpc.StatusCode.INTERNAL, f"The server broke down with {type(error).__name__}.")

    return handle
