"""How requests reach Vertex AI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from homefeed.pipeline.deploy.errors import DeployError
from homefeed.pipeline.deploy.vertex.requests import Call, Place

TIMEOUT_SECONDS = 60  # To accept a request.
DEPLOY_SECONDS = 3600  # To get a model into service: machines must be found, the model copied and loaded.


def send(calls: Sequence[Call], place: Place) -> list[str]:
    """Sends the requests in order, each when the one before has done its work; gives the names of what was made.

    Raises:
        DeployError: there are no credentials, or the service said no.
    """
    import google.auth.exceptions
    from google.api_core import exceptions

    try:
        return [_send(call, place) for call in calls]
    except google.auth.exceptions.DefaultCredentialsError as error:
        raise DeployError(
            "no Google Cloud credentials: run `gcloud auth application-default login`, or set "
            f"GOOGLE_APPLICATION_CREDENTIALS to a key file ({error})"
        ) from error
    except google.auth.exceptions.GoogleAuthError as error:
        raise DeployError(f"the Google Cloud credentials are no good: {error}") from error
    except exceptions.Forbidden as error:
        raise DeployError(
            f"{place.host} forbids it: {error.message}. The caller needs roles/aiplatform.user in project "
            f"{place.project}, and roles/iam.serviceAccountUser on {place.service_account or 'the service account'}"
        ) from error
    except exceptions.NotFound as error:
        raise DeployError(
            f"{place.host} does not know it: {error.message}. Is {place.region} the region of project "
            f"{place.project}, and was the model uploaded without --keep first?"
        ) from error
    except exceptions.GoogleAPICallError as error:
        raise DeployError(f"{place.host} answered {error.code or 'with an error'}: {error.message}") from error
    except (exceptions.RetryError, ConnectionError, OSError) as error:
        raise DeployError(f"{place.host} cannot be reached: {error}. Is {place.region!r} a region?") from error


def _send(call: Call, place: Place) -> str:
    from google.cloud import aiplatform_v1 as v1

    kind = getattr(v1, f"{call.service}Client")
    answer = getattr(_client(kind, place), call.method)(request=call.request, timeout=TIMEOUT_SECONDS)
    if hasattr(answer, "result"):  # A long-running operation.
        answer = answer.result(timeout=DEPLOY_SECONDS)
    return str(getattr(answer, "name", "") or getattr(answer, "model", "") or call.method)


def _client(kind: Any, place: Place) -> Any:
    from google.api_core.client_options import ClientOptions
    from google.auth.credentials import AnonymousCredentials

    if place.host.startswith("http://"):
        rest = kind.get_transport_class("rest")
        nobody: Any = AnonymousCredentials  # google.auth says nothing of types.
        return kind(transport=rest(host=place.host, url_scheme="http", credentials=nobody()))
    return kind(
        client_options=ClientOptions(api_endpoint=place.host, quota_project_id=place.project), transport="rest"
    )
