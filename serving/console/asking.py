"""What addresses of the console may say: each parameter has a form, and one that has another is refused in a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from homefeed.schemas.errors import HomefeedError
from homefeed.serving.audit.pages import KINDS
from homefeed.serving.audit.versions import KINDS as POLICIES
from homefeed.serving.console.desk import Asked
from homefeed.serving.releases.server_config import CANARY, STABLE
from homefeed.serving.web.texts import LANGUAGES

LABELS = (STABLE, CANARY)
_MAX_DIGITS = 15  # Milliseconds of the next thirty thousand years.


class AskedError(HomefeedError, ValueError):
    """A parameter has another form."""


def _text(longest: int) -> tuple[Callable[[str], bool], str]:
    return (
        lambda said: len(said) <= longest and said.isprintable(),
        f"at most {longest} characters that can be printed",
    )


def _word(longest: int) -> tuple[Callable[[str], bool], str]:
    expected = f"at most {longest} letters and digits"
    return lambda said: len(said) <= longest and said.isalnum() and said.isascii(), expected


def _number(longest: int) -> tuple[Callable[[str], bool], str]:
    return lambda said: len(said) <= longest and said.isdecimal(), f"a number of at most {longest} digits"


def _one_of(*known: str) -> tuple[Callable[[str], bool], str]:
    return lambda said: said in known, f"one of {', '.join(known)}"


PARAMETERS: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "user": _text(128),
    "page": _text(64),
    "what": _one_of(*KINDS),
    "before": _number(_MAX_DIGITS),
    "shown": _number(4),
    "kind": _one_of(*POLICIES),
    "version": _text(64),
    "rules": _text(64),
    "label": _one_of(*LABELS),
    "without": _text(128),
    "job": _word(12),
    "name": _text(200),
    "experiment": _text(200),
    "lang": _one_of(*LANGUAGES),
}
"""Name → whether a value is right, and what is expected. A `notice` that is not ours says nothing."""


def check(asked: Asked) -> None:
    """Looks at the parameters of an address; empty ones say nothing, and unknown ones are nobody's.

    Raises:
        AskedError: one has another form.
    """
    for name, (is_right, expected) in PARAMETERS.items():
        said = asked.get(name, "")
        if said and not is_right(said):
            raise AskedError(f"{name}: {said[:40]!r} is none; expected {expected}")
