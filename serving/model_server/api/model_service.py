"""GetModelStatus, HandleReloadConfigRequest and GetModelMetadata."""

from collections.abc import Callable
from typing import Any

from homefeed.serving.model_server.api.predict import fill_model_spec
from homefeed.serving.model_server.core import ServerCore
from homefeed.serving.model_server.errors import Code, invalid_argument, not_found
from homefeed.serving.model_server.messages import (
    GetModelMetadataResponse,
    GetModelStatusResponse,
    ReloadConfigResponse,
)

_SIGNATURE_DEF = "signature_def"


def get_model_status(core: ServerCore, request: Any) -> Any:
    """Answers a GetModelStatusRequest: one version, or all that were ever seen, highest first.

    Raises:
        StatusError: INVALID_ARGUMENT without a model_spec, NOT_FOUND.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    spec = request.model_spec
    statuses = core.statuses(spec.name)
    if spec.WhichOneof("version_choice") == "version":
        version = spec.version.value
        if version not in statuses:
            raise not_found(f"Could not find version {version} of model {spec.name}")
        statuses = {version: statuses[version]}
    if not statuses:
        raise not_found(f"Could not find any versions of model {spec.name}")
    response = GetModelStatusResponse()
    for version, status in statuses.items():
        entry = response.model_version_status.add(version=version, state=int(status.state))
        entry.status.error_code = int(status.code)
        entry.status.error_message = status.message
    return response


def get_model_metadata(core: ServerCore, request: Any) -> Any:
    """Answers a GetModelMetadataRequest with all signatures of the model.

    Raises:
        StatusError: INVALID_ARGUMENT (no or an unknown metadata_field), or what `ServerCore.lend` says.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != _SIGNATURE_DEF:
            raise invalid_argument(f"Metadata field {field} is not supported")
    response = GetModelMetadataResponse()
    with core.lend(request.model_spec) as servable:
        fill_model_spec(response.model_spec, request.model_spec, servable)
        response.metadata[_SIGNATURE_DEF].Pack(servable.signature_def)
    return response


def reload_config(core: ServerCore, request: Any, gives_up: Callable[[], bool]) -> Any:
    """Applies a ReloadConfigRequest.

    Args:
        core: serves the models.
        request: the message.
        gives_up: asked while new models load; True when nobody waits for the answer any more.

    Raises:
        StatusError: it was not applied; gRPC hands out no message beside a status that is not OK.
    """
    core.reload(request.config, gives_up=gives_up)
    response = ReloadConfigResponse()
    response.status.error_code = int(Code.OK)
    return response
