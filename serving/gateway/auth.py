"""Who may ask: on loopback anybody; elsewhere who has a key with the scope."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import ipaddress
import math
import pathlib
import re
import time
from collections.abc import Iterable, Mapping

import yaml

from homefeed.schemas import text_yaml
from homefeed.schemas.errors import HomefeedError
from homefeed.serving.gateway.limits import Rate, TooMuch

ROLES = ("viewer", "operator", "admin")
"""Of the console: each may do what those before it may."""
METRICS = "metrics"
SCOPES = ("page", "events", METRICS, *ROLES)
LOOPBACK, GATEWAY, READER = "this machine", "gateway", "reader"
"""Who the audit trail says it was, where it was nobody with a key: no key is called so."""
MIN_KEY_BYTES = 16
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+](:\d+)?")


class AccessError(HomefeedError, ValueError):
    """Keys or addresses would leave the gateway open."""

    exit_code = 2


@dataclasses.dataclass(frozen=True)
class Keys:
    """API keys, by the hash under which they are compared; none: everybody may do everything.

    Attributes:
        scopes: SHA-256 of a key → what it is good for.
        rates: SHA-256 of a key → how often it may be used, for keys that are limited.
        names: SHA-256 of a key → what the file calls it.
    """

    scopes: Mapping[bytes, frozenset[str]] = dataclasses.field(default_factory=dict)
    rates: Mapping[bytes, Rate] = dataclasses.field(default_factory=dict)
    names: Mapping[bytes, str] = dataclasses.field(default_factory=dict)

    def allow(self, key: str, scope: str) -> bool | None:
        """Whether a key is good for a scope; None: there is no such key. An admin may read metrics as well."""
        if not self.scopes:
            return True
        digest = _digest(key)
        # Every key is compared, and in constant time, so that the time tells nothing.
        found = [scopes for known, scopes in self.scopes.items() if hmac.compare_digest(known, digest)]
        wanted = {scope, "admin"} if scope == METRICS else {scope}
        return not wanted.isdisjoint(found[0]) if found else None

    def role(self, key: str) -> tuple[str, str] | None:
        """The name of a key, and the highest role that it has on the console; None: there is no such key, or role."""
        held = [role for role in ROLES if self.allow(key, role)]
        return (self.names.get(_digest(key), ""), held[-1]) if held else None

    def require_rate(self, key: str) -> None:
        """Counts a use of a key that is good.

        Raises:
            TooMuch: it is used too often.
        """
        rate = self.rates.get(_digest(key))
        if rate and (seconds := rate.wait("", 1, time.monotonic())):
            raise TooMuch("this key is used too often", seconds)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def read_keys(path: pathlib.Path) -> Keys:
    """Keys from a YAML file: `name: {key: …, scopes: [page, events]}`, and `rate`, requests a second, if limited.

    Raises:
        AccessError: the file is missing, or does not say that; keys are never repeated in the message.
    """
    try:
        said = text_yaml.load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AccessError(
            f"{path} cannot be read: {type(error).__name__}; expected a YAML file of API keys"
        ) from error
    if not isinstance(said, dict) or not said:
        raise AccessError(f"{path} names no keys; expected `name: {{key: …, scopes: [page, events]}}`")
    read = {str(name): _read_key(path, str(name), entry) for name, entry in said.items()}
    return Keys(
        {digest: scopes for digest, scopes, _ in read.values()},
        {digest: Rate(rate) for digest, _, rate in read.values() if rate},
        {digest: name for name, (digest, _, _) in read.items()},
    )


def _read_key(path: pathlib.Path, name: str, entry: object) -> tuple[bytes, frozenset[str], float]:
    if name in (LOOPBACK, GATEWAY, READER):
        raise AccessError(f"{path}: a key is called {name!r}, as others are in the audit trail; name it otherwise")
    fields = set(entry) - {"rate"} if isinstance(entry, dict) else set()
    if not isinstance(entry, dict) or fields != {"key", "scopes"} or not isinstance(entry["scopes"], list):
        raise AccessError(f"{path}: {name} should be {{key: …, scopes: [page, events]}}")
    try:
        rate = float(entry.get("rate", 0))
    except (TypeError, ValueError):
        rate = math.nan
    if not 0 <= rate < math.inf:
        raise AccessError(
            f"{path}: {name} has the rate {entry['rate']!r}; expected requests a second, 0 for no limit"
        )
    scopes = frozenset(map(str, entry["scopes"]))
    if unknown := scopes - set(SCOPES):
        raise AccessError(
            f"{path}: {name} has unknown scopes {', '.join(sorted(unknown))}; there are {', '.join(SCOPES)}"
        )
    key = str(entry["key"]).encode()
    if len(key) < MIN_KEY_BYTES:
        raise AccessError(f"{path}: the key of {name} has {len(key)} bytes, expected {MIN_KEY_BYTES} or more")
    return hashlib.sha256(key).digest(), scopes, rate


def require_safe(host: str, keys: Keys) -> None:
    """Lets listen on loopback, and elsewhere with keys.

    Raises:
        AccessError: the address can be reached from outside, and there is no key.
    """
    if not keys.scopes and not is_loopback(host):
        raise AccessError(f"{host} can be reached from outside: name --api-keys FILE, or listen on 127.0.0.1")


def require_origins(origins: Iterable[str]) -> None:
    """Takes the origins of sites, as browsers write them.

    Raises:
        AccessError: one is something else, such as a page's address or `*`.
    """
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise AccessError(f"{origin!r} is no origin: expected https://HOST or https://HOST:PORT, without a path")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
