"""What a rule is about: `{categories: crime, price: {at_most: 20}}`."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from homefeed.schemas.words import near, shown
from homefeed.serving.policy.wordlist import Words

NOW = "now"
ALL = "all"
WORDS = "words"
"""As a field: title and description, which may have words; as a test, of any field."""
_TESTS = ("at_least", "at_most", "not", WORDS)


class Lines(list[str]):
    """Values that are the lines of a file, which may have none."""


@dataclasses.dataclass(frozen=True)
class Test:
    """What one field is asked.

    Attributes:
        accepted: values of which it has to have one, each as text and, if it is one, as a number; None: any. Text is
            compared as text, 007 is not 7, and numbers as numbers.
        words: of which its text has to have one; None: it need have none.
        at_least, at_most: limits of a number, both included; None: no limit. `now` is the time of the page.
        negated: a test that must fail; None: there is none. A field that is not there fails every other test.
    """

    accepted: frozenset[str | float] | None = None
    words: Words | None = None
    at_least: float | str | None = None
    at_most: float | str | None = None
    negated: Test | None = None

    def holds(self, value: Any, now: float) -> bool:
        """Whether a value, or one of several, passes."""
        if self.negated:
            return not self.negated.holds(value, now)
        values = value if isinstance(value, list | tuple) else [value]
        return any(self._accepts(one, now) for one in values if one is not None)

    def _accepts(self, value: Any, now: float) -> bool:
        if self.words is not None:
            return self.words.are_in(str(value))
        if self.accepted is not None:
            return value in self.accepted
        if not isinstance(value, int | float):
            number = _number(str(value))
            return number is not None and self._accepts(number, now)
        low, high = (now if limit == NOW else limit for limit in (self.at_least, self.at_most))
        return (low is None or value >= low) and (high is None or value <= high)  # type: ignore[operator]

    @property
    def is_timed(self) -> bool:
        """Whether the answer depends on when it is asked."""
        return NOW in (self.at_least, self.at_most) or bool(self.negated and self.negated.is_timed)


@dataclasses.dataclass(frozen=True)
class Condition:
    """Fields that all have to pass their tests.

    >>> cheap_crime = read({"categories": ["crime", "thriller"], "price": {"at_most": "20"}})
    >>> cheap_crime.holds({"categories": ["crime", "drama"], "price": 19.5})
    True
    >>> cheap_crime.holds({"categories": "crime"}), read({"price": {"not": {"at_most": "20"}}}).holds({})
    (False, True)
    """

    tests: Mapping[str, Test]

    def holds(self, fields: Mapping[str, Any], now: float = 0.0) -> bool:
        """Whether a card, or what is known of a reader, is meant.

        Args:
            fields: name → value, or a list of values.
            now: Unix seconds.
        """
        return all(test.holds(_value(fields, name), now) for name, test in self.tests.items())

    @property
    def is_timed(self) -> bool:
        """Whether the answer depends on when it is asked."""
        return any(test.is_timed for test in self.tests.values())


def _value(fields: Mapping[str, Any], name: str) -> Any:
    return [fields.get("title"), fields.get("description")] if name == WORDS else fields.get(name)


def read(said: Any) -> Condition:
    """A condition as it was written.

    Args:
        said: `all`, or field → value, list of values, or mapping of `at_least`, `at_most`, `not` and `words`; of the
            field `words` the words themselves. Numbers are text.

    Raises:
        ValueError: it is none.
    """
    if isinstance(said, Condition):
        return said
    if said == ALL:
        return Condition({})
    if not isinstance(said, Mapping) or not said:
        raise ValueError("expected fields and what they are to be, such as {categories: crime, price: {at_most: 20}}")
    return Condition({name: _read_test(name, tested) for name, tested in said.items()})


def _read_test(name: str, said: Any) -> Test:
    if name == WORDS and not isinstance(said, Mapping):
        said = {WORDS: said}
    if isinstance(said, Mapping):
        if unknown := [key for key in said if key not in _TESTS]:
            raise ValueError(f"{name}.{unknown[0]} is unknown{near(unknown[0], _TESTS)}")
        if "not" in said:
            if len(said) > 1:
                raise ValueError(f"{name}: `not` stands alone; put what is not to be inside of it")
            return Test(negated=_read_test(name, said["not"]))
        if WORDS in said:
            if len(said) > 1:
                raise ValueError(f"{name}: `words` stands alone")
            return Test(words=Words(_values(name, said[WORDS])))
        limits = {key: _read_limit(f"{name}.{key}", limit) for key, limit in said.items()}
        if not limits:
            raise ValueError(f"{name} is asked nothing; expected at_least, at_most, words or not")
        return Test(**limits)  # type: ignore[arg-type]
    texts = [str(value) for value in _values(name, said)]
    numbers = [number for text in texts if (number := _number(text)) is not None]
    return Test(frozenset([*texts, *numbers]))


def _values(name: str, said: Any) -> list[Any]:
    values = said if isinstance(said, list) else [said]
    is_given = values or isinstance(said, Lines)  # A file may be empty: nothing passes.
    if not is_given or not all(isinstance(value, str | int | float) and str(value) for value in values):
        raise ValueError(f"{name}: expected a value, several, or at_least, at_most, words or not, got {shown(said)}")
    return values


def _read_limit(name: str, said: Any) -> float | str:
    if said == NOW:
        return NOW
    number = _number(str(said))
    number = _moment(str(said)) if number is None else number
    if number is None:
        raise ValueError(f"{name}: expected a number, a time such as 2026-12-24T18:00, or now, got {shown(said)}")
    return number


def _number(text: str) -> float | None:
    """A number, a whole one exactly: as floats, many ids of 17 digits are one.

    >>> _number("12345678901234567"), _number("02.50"), _number("nan"), _number("crime")
    (12345678901234567, 2.5, None, None)
    """
    try:
        if text.strip().lstrip("+-").isdecimal():
            return int(text)
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _moment(text: str) -> float | None:
    """Unix seconds of a time in ISO 8601, UTC if it says nothing."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or datetime.UTC).timestamp()


def _read_moment(said: Any) -> Any:
    found = _moment(said) if isinstance(said, str) else said
    if found is None:
        raise ValueError("expected a time such as 2026-12-24T18:00+01:00")
    return found


Written = Annotated[Any, pydantic.BeforeValidator(read)]
"""A condition in a file."""
Moment = Annotated[float, pydantic.BeforeValidator(_read_moment)]
"""Unix seconds; in a file a time in ISO 8601, UTC if it says nothing."""
