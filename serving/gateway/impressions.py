"""Impression tokens: they travel with a page, come back with events, and prove that it was served to that user."""

from __future__ import annotations

import hashlib

import itsdangerous

from homefeed.serving.profiles.transaction import KEPT_SECONDS


class Impressions:
    """Signs the ids of pages, and knows its own signatures again.

    Args:
        secret: of all gateways on one store.
    """

    def __init__(self, secret: bytes):
        self._secret = secret

    def token(self, impression_id: str, user: str) -> str:
        """What the page takes along."""
        return self._signer(user).sign(impression_id).decode()

    def read(self, token: str, user: str) -> str | None:
        """The page that a token is of; None: it is forged, another user's, or of a page that is no longer kept."""
        try:
            return self._signer(user).unsign(token, max_age=KEPT_SECONDS).decode()
        except (itsdangerous.BadData, UnicodeError):
            return None

    def _signer(self, user: str) -> itsdangerous.TimestampSigner:
        return itsdangerous.TimestampSigner(self._secret, f"impression:{user}", digest_method=hashlib.sha256)
