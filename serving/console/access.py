"""Who is at the console, what they may do, and whether a form comes from a page of theirs."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import secrets
import urllib.parse
from collections.abc import Iterable
from typing import Literal, get_args

import itsdangerous
from fastapi import Request

from homefeed.serving.gateway.auth import LOOPBACK, ROLES, Keys
from homefeed.serving.gateway.limits import Rate, TooMuch

COOKIE = "homefeed_console"
SESSION_SECONDS = 12 * 3_600
TRIES_A_SECOND = 0.5  # Of keys, from one address.
Role = Literal["viewer", "operator", "admin"]
assert get_args(Role) == ROLES


@dataclasses.dataclass(frozen=True)
class Operator:
    """Somebody at the console.

    Attributes:
        name: of their key; of this machine, where no keys are needed.
        role: what they may do.
        session: of their browser.
    """

    name: str
    role: Role
    session: str

    @property
    def has_key(self) -> bool:
        """Whether they came with a key, and can leave."""
        return self.name != LOOPBACK

    def may(self, role: Role) -> bool:
        """Whether their role is this one, or one above it."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Access:
    """Lets people in by keys; where there are none, whoever reaches this machine is an admin, as elsewhere.

    Args:
        keys: of the gateway.
        secret: the same for all gateways on a store: what one signed, the others take.
        left: names of sessions that were ended before; see `named`.
    """

    def __init__(self, keys: Keys, secret: bytes, left: Iterable[str] = ()):
        self._keys, self._tries, self._left = keys, Rate(TRIES_A_SECOND), set(left)
        self._signer = itsdangerous.URLSafeTimedSerializer(secret, salt="console")

    def enter(self, key: str, address: str, now: float) -> str | None:
        """The cookie of a new session; None: the key has no role here.

        Raises:
            TooMuch: too many keys were tried from this address.
        """
        if seconds := self._tries.wait(address, 1, now):
            raise TooMuch("too many keys were tried", seconds)
        found = self._keys.role(key) if self._keys.scopes else None
        return self._cookie(found[0], _digest(key)) if found else None

    def open(self) -> str | None:
        """The cookie of a new session without a key; None: one is needed."""
        return None if self._keys.scopes else self._cookie(LOOPBACK, "")

    def operator(self, cookie: str) -> Operator | None:
        """Whose session a cookie is; None: nobody's, or no longer, or their key is gone."""
        try:
            name, digest, session = self._signer.loads(cookie, max_age=SESSION_SECONDS)
        except (itsdangerous.BadData, ValueError):
            return None
        role = self._role(digest)
        return Operator(name, role, session) if role and named(session) not in self._left else None

    def leave(self, operator: Operator) -> str:
        """Ends a session, also for who has copied its cookie; gives its name."""
        self._left.add(named(operator.session))
        return named(operator.session)

    def _role(self, digest: str) -> Role | None:
        if not self._keys.scopes:
            return "admin" if digest == "" else None
        held = [scopes for known, scopes in self._keys.scopes.items() if known.hex() == digest]
        return next((role for role in reversed(get_args(Role)) if held and role in held[0]), None)

    def _cookie(self, name: str, digest: str) -> str:
        cookie: str = self._signer.dumps([name, digest, secrets.token_urlsafe(16)])
        return cookie

    def token(self, operator: Operator) -> str:
        """What every form of theirs has in it, and no other site can know."""
        token: str = self._signer.dumps(["form", operator.session])
        return token

    def is_own(self, operator: Operator, token: str, request: Request) -> bool:
        """Whether a form comes from a page of theirs: by its token, and by what browsers say of its origin."""
        origin = request.headers.get("origin")
        if origin is not None and urllib.parse.urlsplit(origin).netloc != request.headers.get("host"):
            return False
        try:
            said = self._signer.loads(token, max_age=SESSION_SECONDS)
        except itsdangerous.BadData:
            return False
        return isinstance(said, list) and len(said) == 2 and said[0] == "form" and _same(said[1], operator.session)


def named(session: object) -> str:
    """What a session may be called where others read it: nobody makes a cookie from that."""
    return hashlib.sha256(str(session).encode()).hexdigest()[:16]


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(str(one).encode(), other.encode())


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
