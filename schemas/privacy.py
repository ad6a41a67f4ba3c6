"""Pseudonyms of user ids (HMAC-SHA256), made before anything is stored."""

from __future__ import annotations

import hashlib
import hmac
import os
import pathlib

from homefeed.schemas.dataset import DatasetError, UnreachableError

MIN_KEY_BYTES = 16


def load_key(reference: str) -> bytes | None:
    """The secret key that a reference names: `env:NAME` or `file:PATH`; None if it is empty.

    The reference may be stored and logged, the key never.

    Raises:
        DatasetError: the reference is not of that form.
        UnreachableError: there is no key, or it is too short.
    """
    if not reference:
        return None
    kind, _, name = reference.partition(":")
    if kind not in ("env", "file") or not name:
        raise DatasetError(f"The key of user ids is named by env:NAME or file:PATH, not {reference!r}.")
    if kind == "env":
        key = os.environ.get(name, "").encode()
    else:
        path = pathlib.Path(name).expanduser()
        key = path.read_bytes().strip() if path.is_file() else b""
    if len(key) < MIN_KEY_BYTES:
        raise UnreachableError(
            f"The key of user ids at {reference} has {len(key)} bytes, expected {MIN_KEY_BYTES} or more."
        )
    return key


def has_key(reference: str) -> bool:
    """Whether `load_key` finds a key."""
    try:
        load_key(reference)
    except DatasetError:
        return False
    return True


def pseudonym(user_id: str, key: bytes | None) -> str:
    """What a user is called inside: 32 hex digits of HMAC-SHA256, or the id itself without a key.

    >>> pseudonym("alice", b"a key of 16 bytes")
    '6f64a8d04e3615500ec726e0742f1582'
    """
    if key is None:
        return user_id
    return hmac.new(key, user_id.encode("utf-8"), hashlib.sha256).hexdigest()[:32]
