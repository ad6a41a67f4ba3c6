"""Where a log is: `kafka://HOST:PORT/TOPIC`."""

from __future__ import annotations

import dataclasses
import urllib.parse

from homefeed.schemas.errors import HomefeedError

EXAMPLE = "kafka://HOST:PORT/TOPIC"
_SCHEMES = {"kafka": False, "kafkas": True}
_OPTIONS = {"mechanism": "sasl.mechanism", "ca": "ssl.ca.location"}


class LogError(HomefeedError, RuntimeError):
    """The log is out of reach, or refuses."""


@dataclasses.dataclass(frozen=True)
class Address:
    """A topic of some brokers.

    Attributes:
        name: the address without password and options, as messages show it.
        brokers: `HOST:PORT`, several with commas.
        topic: the topic.
        security: settings of librdkafka for TLS and SASL.
    """

    name: str
    brokers: str
    topic: str
    security: dict[str, str]


def read_address(url: str) -> Address:
    """Reads `kafka://[USER:PASSWORD@]HOST:PORT[,HOST:PORT]/TOPIC[?mechanism=…&ca=…]`; `kafkas://` speaks TLS.

    Raises:
        LogError: it is none.
    """
    parts = urllib.parse.urlsplit(url)
    login, _, brokers = parts.netloc.rpartition("@")
    name = f"{parts.scheme}://{brokers}{parts.path}"
    topic = parts.path.removeprefix("/")
    options = urllib.parse.parse_qs(parts.query)
    unknown = sorted(options.keys() - _OPTIONS.keys())
    is_whole = parts.scheme in _SCHEMES and topic and "/" not in topic
    if not is_whole or not all(_is_host(one) for one in brokers.split(",")):
        raise LogError(f"{name!r} is no address of a log; write {EXAMPLE}")
    if unknown:
        raise LogError(f"{name}: there is no option {unknown[0]!r}; there are {', '.join(_OPTIONS)}")
    security = {_OPTIONS[option]: values[-1] for option, values in options.items()}
    return Address(name, brokers, topic, _login(login, _SCHEMES[parts.scheme]) | security)


def _is_host(broker: str) -> bool:
    host, _, port = broker.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65_536


def _login(login: str, is_tls: bool) -> dict[str, str]:
    if not login:
        return {"security.protocol": "SSL"} if is_tls else {}
    user, _, password = map(urllib.parse.unquote, login.partition(":"))
    protocol = "SASL_SSL" if is_tls else "SASL_PLAINTEXT"
    said = {"sasl.username": user, "sasl.password": password}
    return {"security.protocol": protocol, "sasl.mechanism": "PLAIN", **said}
