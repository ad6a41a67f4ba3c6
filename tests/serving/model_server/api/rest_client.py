"""Calls a REST API."""

import http.client
import json
from typing import Any

HALF = "/v1/models/half:predict"
TYPES = "/v1/models/types:predict"


class Rest:
    """Speaks HTTP without a library that would mend what is sent."""

    def __init__(self, port: int) -> None:
        self.port = port

    def send(self, verb: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        connection.request(verb, path, data, {key.replace("_", "-"): value for key, value in headers.items()})
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        return response.status, dict(response.getheaders()), answer

    def post(self, path: str, body: Any, **headers: str) -> Any:
        status, _, answer = self.send("POST", path, body, **headers)
        assert status == 200, answer
        return json.loads(answer)

    def error(self, status: int, verb: str, path: str, body: Any = None, **headers: str) -> str:
        found, answer_headers, answer = self.send(verb, path, body, **headers)
        assert found == status, answer
        assert answer_headers["Content-Type"] == "application/json"
        (error,) = json.loads(answer).values()
        return str(error)
