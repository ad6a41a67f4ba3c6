"""A local stand-in for a cloud's HTTP API: it keeps every request and answers what it was told."""

import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Answer = tuple[int, dict[str, Any]]


class Recorded(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@contextlib.contextmanager
def http_recorder(answer: Callable[[Recorded], Answer]) -> Iterator[tuple[str, list[Recorded]]]:
    """Serves on 127.0.0.1 until the block ends; gives the URL and the requests so far."""
    requests: list[Recorded] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Recorded(self.command, self.path, headers, json.loads(content) if content else None)
            requests.append(request)
            status, value = answer(request)
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = handle_any  # noqa: N815

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
