"""Cookies of the console, right and wrong ones."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from unittest import mock

import itsdangerous


def cookies(secret: bytes, key: str) -> Iterator[tuple[str, int]]:
    """Cookies, and how the console answers who has one.

    Args:
        secret: of the store.
        key: that has a role.
    """
    digest = hashlib.sha256(key.encode()).hexdigest()
    signer = itsdangerous.URLSafeTimedSerializer(secret, salt="console")
    yield signer.dumps(["olga", digest, "a session"]), 200
    yield signer.dumps(["olga", "0" * 64, "a session"]), 401  # Of a key that is gone.
    yield signer.dumps(["this machine", "", "a session"]), 401  # Of a gateway that needed no key.
    yield signer.dumps("olga"), 401
    yield itsdangerous.URLSafeTimedSerializer(b"guess", salt="console").dumps(["olga", digest, "s"]), 401
    with mock.patch("itsdangerous.timed.time.time", return_value=time.time() - 13 * 3_600):
        yield signer.dumps(["olga", digest, "a session"]), 401
