"""Google Cloud Storage's JSON API on this machine: what Beam's own client for `gs://` talks to."""

import contextlib
import dataclasses
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest


@dataclasses.dataclass
class Bucket:
    """The one bucket, `gs://shop`."""

    objects: dict[str, bytes] = dataclasses.field(default_factory=dict)  # By name.
    refused: dict[str, int] = dataclasses.field(default_factory=dict)  # `list`, `look` or `read` → its HTTP status.

    def answer(self, path: str, query: dict[str, list[str]], wanted: str) -> tuple[int, bytes]:
        """To a request without its host, for a range such as `bytes=0-9`: status and body."""
        name = urllib.parse.unquote(path.partition("/o/")[2])
        is_read = "media" in query.get("alt", ())
        call = "read" if is_read else "look" if name else "list"
        if call in self.refused:
            said = {"error": {"code": self.refused[call], "message": f"no {call}"}}
            return self.refused[call], json.dumps(said).encode()
        if call == "list":
            prefix = query.get("prefix", [""])[0]
            return 200, json.dumps({"items": [self._facts(n) for n in self.objects if n.startswith(prefix)]}).encode()
        if name not in self.objects:
            return 404, json.dumps({"error": {"code": 404, "message": f"no {name}"}}).encode()
        if not is_read:
            return 200, json.dumps(self._facts(name)).encode()
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        found = self.objects[name][int(first or 0) : int(last) + 1 if last else None]
        return (206, found) if found else (416, b"")

    def _facts(self, name: str) -> dict[str, Any]:
        size, when = str(len(self.objects[name])), "2024-01-01T00:00:00Z"
        return {"name": name, "bucket": "shop", "size": size, "updated": when, "generation": "1"}


@contextlib.contextmanager
def bucket() -> Iterator[Bucket]:
    """Serves until the block ends what this process finds at `gs://`."""
    from apache_beam.internal.gcp.auth import _Credentials

    served = Bucket()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urllib.parse.urlsplit(self.path)
            status, body = served.answer(url.path, urllib.parse.parse_qs(url.query), self.headers.get("Range", ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("STORAGE_EMULATOR_HOST", url)
            patch.setenv("no_proxy", "127.0.0.1")
            # As Beam goes on once it has found none, for which it looks for half a minute.
            patch.setattr(_Credentials, "_credentials_init", True)
            patch.setattr(_Credentials, "_credentials", None)
            yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
