"""The one exception of a request or a load that failed: a canonical status code and words."""

import enum


class Code(enum.IntEnum):
    """Canonical status codes; TensorFlow and gRPC number them alike."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class StatusError(Exception):
    """Something failed with a status.

    Attributes:
        code: what kind of failure.
        message: what happened, as the caller is told.
    """

    def __init__(self, code: Code, message: str):
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


def invalid_argument(message: str) -> StatusError:
    """The caller sent something wrong."""
    return StatusError(Code.INVALID_ARGUMENT, message)


def failed_precondition(message: str) -> StatusError:
    """The system is not in a state in which this can be done."""
    return StatusError(Code.FAILED_PRECONDITION, message)


def not_found(message: str) -> StatusError:
    """What was asked for does not exist."""
    return StatusError(Code.NOT_FOUND, message)
