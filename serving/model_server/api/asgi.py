"""The REST API as an ASGI application: receives bodies, lets a thread answer, sends what it said."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

from homefeed.serving.model_server.api.rest import Request, Response, RestApi, failure
from homefeed.serving.model_server.errors import Code, StatusError, invalid_argument
from homefeed.serving.model_server.intake import MAX_RECEIVING, RECEIVE_SECONDS, Intake

_CORS = [
    (b"Access-Control-Allow-Origin", b"*"),
    (b"Access-Control-Allow-Methods", b"GET, POST, PUT, DELETE, PATCH"),
    (b"Access-Control-Allow-Headers", b"Content-Type, Authorization, If-None-Match"),
    (b"Access-Control-Max-Age", b"86400"),
]
_CLOSE = (b"Connection", b"close")


_T = TypeVar("_T")


class _TooLargeError(Exception):
    """The body is larger than what is taken."""


class _ClientGoneError(Exception):
    """Nobody waits for the answer."""


class AsgiApplication:
    """Answers HTTP requests.

    Args:
        api: answers whole requests, in a thread.
        intake: bounds what comes in.
        num_threads: how many requests are worked on at a time.
        max_body_bytes: larger bodies are refused.
        cors: send CORS headers.

    Attributes:
        draining: set it to have every connection closed after its next answer.
    """

    def __init__(self, api: RestApi, intake: Intake, num_threads: int, max_body_bytes: int, *, cors: bool):
        self._api = api
        self._intake = intake
        self._receiving = _Receiving()
        self._pool = concurrent.futures.ThreadPoolExecutor(num_threads, "rest")
        self._max_body_bytes = max_body_bytes
        self._headers = _CORS if cors else []
        self.draining = False

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """See the ASGI specification."""
        try:
            response, closes = await self._respond(scope, receive)
        except _ClientGoneError:
            return
        headers = [
            (b"Content-Type", response.content_type.encode()),
            (b"Content-Length", str(len(response.body)).encode()),
            *self._headers,
        ]
        if closes or self.draining:
            headers.append(_CLOSE)
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    async def _respond(self, scope: dict[str, Any], receive: Any) -> tuple[Response, bool]:
        """The answer, and whether the connection is of no further use: the body was not read to its end."""
        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            async with self._receiving.one():
                body = await self._body(headers, receive)
            if headers.get("content-encoding", "").lower() == "gzip":
                body = await self._in_a_thread(_gunzip, body, self._max_body_bytes)
            request = Request(scope["method"], scope["raw_path"].decode("latin-1"), headers, body)
            with self._intake.working(len(body)):
                return await self._in_a_thread(self._api.answer, request), False
        except TimeoutError:
            late = StatusError(Code.DEADLINE_EXCEEDED, "The request did not come in time.")
            return failure(late, 408), True
        except _TooLargeError as error:
            return failure(invalid_argument(str(error)), 413), True
        except StatusError as error:
            return failure(error), False

    async def _in_a_thread(self, function: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    async def _body(self, headers: Mapping[str, str], receive: Any) -> bytes | bytearray:
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared[:19]) > self._max_body_bytes:
            raise _TooLargeError(f"The body has {declared} bytes; at most {self._max_body_bytes} are taken.")
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _ClientGoneError
            body += message["body"]
            if len(body) > self._max_body_bytes:
                raise _TooLargeError(f"The body is larger than {self._max_body_bytes} bytes.")
            if not message.get("more_body"):
                return body

    def close(self) -> None:
        """Lets go of the threads; those that still work end on their own."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Receiving:
    """The requests whose bodies are on their way in."""

    def __init__(self) -> None:
        self._timeouts: dict[asyncio.Timeout, None] = {}

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Held while a body comes in. When there are too many, the one that takes longest is given up.

        Raises:
            TimeoutError: it did not come in time, or had to make room.
        """
        if len(self._timeouts) >= MAX_RECEIVING:
            slowest = next(iter(self._timeouts))
            slowest.reschedule(asyncio.get_running_loop().time())
            del self._timeouts[slowest]
        async with asyncio.timeout(RECEIVE_SECONDS) as timeout:
            self._timeouts[timeout] = None
            try:
                yield
            finally:
                self._timeouts.pop(timeout, None)


def _gunzip(data: bytes | bytearray, max_bytes: int) -> bytes:
    """Unpacks a body, however small it was packed only up to a limit."""
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        unpacked = unpacker.decompress(data, max_bytes)
    except zlib.error as error:
        raise invalid_argument(f"The body is not gzip, though Content-Encoding says so: {error}") from error
    if unpacker.unconsumed_tail:
        raise _TooLargeError(f"The unpacked body is larger than {max_bytes} bytes.")
    return unpacked
