"""What can go wrong in a call, and the one place that maps gRPC's codes to it."""

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


_ERROR_BY_CODE: dict[grpc.StatusCode, type[ServerError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.FAILED_PRECONDITION: InvalidRequestError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: ModelNotFoundError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.UNAVAILABLE: ServerUnavailableError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ServerUnavailableError,
    grpc.StatusCode.UNIMPLEMENTED: UnsupportedError,
    grpc.StatusCode.PERMISSION_DENIED: AccessDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: AccessDeniedError,
}


def from_rpc_error(error: grpc.RpcError, target: str) -> ServerError:
    """The error of ours for a failed RPC to `target`."""
    code = error.code()
    return _ERROR_BY_CODE.get(code, ServerError)(code, error.details() or "", target)
