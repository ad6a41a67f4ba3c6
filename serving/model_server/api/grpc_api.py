"""The gRPC methods: which function answers which."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

from homefeed.serving.model_server.api import inference, model_service
from homefeed.serving.model_server.api.predict import predict
from homefeed.serving.model_server.core import ServerCore
from homefeed.serving.model_server.errors import Code, StatusError, invalid_argument
from homefeed.serving.model_server.flags import Flags
from homefeed.serving.model_server.loading.servable import Servable
from homefeed.serving.model_server.observation import Observer

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"


@dataclasses.dataclass(frozen=True)
class Call:
    """An RPC that is worked on.

    Attributes:
        deadline: the `time.monotonic()` until which its caller waits; None is no limit.
        is_active: says whether somebody still waits for the answer.
    """

    deadline: float | None
    is_active: Callable[[], bool]

    def time_left(self) -> float | None:
        """Seconds until the caller's deadline, None without one.

        Raises:
            StatusError: DEADLINE_EXCEEDED, it has passed.
        """
        if self.deadline is None:
            return None
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise StatusError(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification")
        return seconds


# Answers a request message with a response message.
Method = Callable[[Any, Call], Any]


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

    def predict(self, request: Any, call: Call) -> Any:
        """See `predict.predict`."""
        with self._lend(request, "Predict") as servable:
            return predict(
                servable,
                request,
                call.time_left(),
                as_tensor_content=self._as_tensor_content,
                check_method_name=self._check_method_name,
            )

    def classify(self, request: Any, call: Call) -> Any:
        """See `inference.classify`."""
        with self._lend(request, "Classify") as servable:
            return inference.classify(servable, request, call.time_left(), check_method_name=self._check_method_name)

    def regress(self, request: Any, call: Call) -> Any:
        """See `inference.regress`."""
        with self._lend(request, "Regress") as servable:
            return inference.regress(servable, request, call.time_left(), check_method_name=self._check_method_name)

    def multi_inference(self, request: Any, call: Call) -> Any:
        """See `inference.multi_inference`."""
        # Not counted, as in the reference.
        with self._core.lend(inference.multi_inference_model_spec(request)) as servable:
            return inference.multi_inference(servable, request, call.time_left())

    @contextlib.contextmanager
    def _lend(self, request: Any, api: str) -> Iterator[Servable]:
        with (
            self._observer.request(request.model_spec.name, api),
            self._core.lend(_model_spec(request)) as servable,
        ):
            yield self._observer.timed(servable, api)

    def get_model_metadata(self, request: Any, _: Call) -> Any:
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

    def get_model_status(self, request: Any, _: Call) -> Any:
        """See `model_service.get_model_status`."""
        return model_service.get_model_status(self._core, request)

    def handle_reload_config_request(self, request: Any, call: Call) -> Any:
        """See `model_service.reload_config`."""
        return model_service.reload_config(self._core, request, gives_up=lambda: not call.is_active())


def _model_spec(request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    return request.model_spec


def services(core: ServerCore, flags: Flags, observer: Observer) -> dict[str, dict[str, Method]]:
    """Method by name, by the full name of the service."""
    return {
        PREDICTION_SERVICE: PredictionService(core, flags, observer).methods(),
        MODEL_SERVICE: ModelService(core).methods(),
    }
