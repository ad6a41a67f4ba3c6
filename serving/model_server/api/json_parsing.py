"""JSON as the reference's parser takes it, and base64 in it."""

import base64
import json
import math
import re
from typing import Any

from homefeed.serving.model_server.errors import invalid_argument

_ESCAPE = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>u[dD][89a-fA-F])|.)", re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n]*")
# What a double cannot hold has one of these; they may stand in a string as well.
_LONG_NUMBER = re.compile(r"[0-9][eE]\+?[0-9]{3}|(?<![0-9])[0-9]{308}")
# What the reference takes beside Infinity and NaN, and strings, in which they mean nothing.
_OTHER_WORDS = re.compile(r'("(?:[^"\\]|\\.)*+")|-NaN|Inf(?!inity)')
_USUAL_WORDS = {"-NaN": "NaN", "Inf": "Infinity"}


def parse_object(body: bytes | bytearray) -> dict[str, Any]:
    """Reads a request's body: one JSON object. What follows it is ignored; of equal keys the first counts.

    Raises:
        StatusError: INVALID_ARGUMENT, with the place where reading stopped.
    """
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        text = body.decode()
        _check_surrogates(text)
        value = _parse(text)
    except UnicodeDecodeError as error:
        raise invalid_argument(f"JSON Parse error: Invalid encoding in string. at offset: {error.start}") from error
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode())
        raise invalid_argument(f"JSON Parse error: {error.msg} at offset: {offset}") from error
    except (RecursionError, ValueError) as error:
        raise invalid_argument("JSON Parse error: nested too deep, or a number is too large.") from error
    if not isinstance(value, dict):
        raise invalid_argument(f"JSON Parse error: {describe(value)} Is not object")
    return value


def _parse(text: str) -> Any:
    decoder = json.JSONDecoder(
        object_pairs_hook=_first_of_each, parse_float=_finite if _LONG_NUMBER.search(text) else None
    )
    start = _space_end(text)
    try:
        return decoder.raw_decode(text, start)[0]
    except json.JSONDecodeError:
        usual = _OTHER_WORDS.sub(lambda found: found[1] or _USUAL_WORDS[found[0]], text)
        if usual == text:
            raise
        return decoder.raw_decode(usual, start)[0]


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else dict(reversed(pairs))


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(digits)
    return value


def _space_end(text: str) -> int:
    found = _SPACE.match(text)
    return found.end() if found else 0


def _check_surrogates(text: str) -> None:
    """Half of a character is none, and has no UTF-8."""
    if "\\ud" in text or "\\uD" in text:
        for escape in _ESCAPE.finditer(text):
            if escape["half"]:
                raise json.JSONDecodeError("The surrogate pair in string is invalid.", text, escape.start())


def from_base64(text: str) -> bytes:
    """Bytes from base64, with or without its padding, and with spaces and line breaks in it.

    Raises:
        ValueError: it is none.
    """
    packed = re.sub(r"[\t-\r ]", "", text)
    digits = packed.rstrip("=")
    padding = "=" * (-len(digits) % 4)
    if packed not in (digits, digits + padding):
        raise ValueError("Incorrect padding")
    return base64.b64decode(digits + padding, validate=True)


def describe(value: Any) -> str:
    """A value and its type in the reference's words, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return f"JSON Value: {text if len(text) <= 256 else text[:256] + '...'} Type: {_json_type(value)}"


def _json_type(value: Any) -> str:
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    names: dict[type, str] = {dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")
