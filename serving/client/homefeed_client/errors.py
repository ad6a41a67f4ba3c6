"""What can go wrong in a call."""

import grpc


class PredictionError(Exception):
    """A call to a model server failed; the base of all errors here."""


class InvalidInputsError(PredictionError, ValueError):
    """Inputs do not fit the model's signature; found before anything was sent.

    Attributes:
        problems: every mismatch, one sentence each.
    """

    def __init__(self, model: str, signature: str, problems: list[str]):
        listed = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"Inputs do not fit signature `{signature}` of model `{model}`:\n{listed}")
        self.problems = problems


class ServerError(PredictionError):
    """The server answered with an error, or did not answer.

    Attributes:
        code: the gRPC status code.
        details: the server's words.
    """

    def __init__(self, code: grpc.StatusCode, details: str, target: str):
        super().__init__(f"{code.name} from the model server at {target}: {details}")
        self.code = code
        self.details = details


class InvalidRequestError(ServerError):
    """The server refused the request as wrong (INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE)."""


class ModelNotFoundError(ServerError):
    """No such model, or no such version of it is ready (NOT_FOUND)."""


class DeadlineExceededError(ServerError):
    """No answer within the timeout (DEADLINE_EXCEEDED)."""


class ServerUnavailableError(ServerError):
    """The server cannot be reached or has no room, also after retries (UNAVAILABLE, RESOURCE_EXHAUSTED)."""


class UnsupportedError(ServerError):
    """The server does not know this method (UNIMPLEMENTED)."""


class AccessDeniedError(ServerError):
    """The server does not let us (PERMISSION_DENIED, UNAUTHENTICATED)."""
