"""Impression tokens: they travel with a page, come back with events, and prove that it was served to that user."""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple

import itsdangerous

from homefeed.serving.profiles.transaction import KEPT_SECONDS


class Shown(NamedTuple):
    """What a token proves: the page, and whether it was served to who sends it; else to somebody else."""

    impression_id: str
    is_theirs: bool


class Impressions:
    """Signs the ids of pages, and knows its own signatures again.

    Args:
        secret: of all gateways on one store.
    """

    def __init__(self, secret: bytes):
        self._secret = secret
        self._signer = itsdangerous.TimestampSigner(secret, "impression", digest_method=hashlib.sha256)

    def token(self, impression_id: str, user: str) -> str:
        """What the page takes along."""
        return self._signer.sign(f"{impression_id}.{self._mark(user)}").decode()

    def read(self, token: str, user: str) -> Shown | None:
        """What a token of a user's event proves; None: it is forged, or of a page that is no longer kept."""
        try:
            signed = self._signer.unsign(token, max_age=KEPT_SECONDS).decode()
        except (itsdangerous.BadData, UnicodeError):
            return None
        impression_id, _, mark = signed.partition(".")
        return Shown(impression_id, hmac.compare_digest(mark, self._mark(user)))

    def _mark(self, user: str) -> str:
        """Tells users apart, and nobody else who they are."""
        return hmac.new(self._secret, user.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:16]
