"""How often somebody may ask."""

from __future__ import annotations

import collections

from homefeed.schemas.errors import HomefeedError

BURST_SECONDS = 20.0  # So much of a rate may be used at once.


class TooMuch(HomefeedError, RuntimeError):  # noqa: N818  No fault: it passes.
    """There is no room for a request now.

    Args:
        what: what there is too much of.
        seconds: when to come back.
    """

    def __init__(self, what: str, seconds: float):
        super().__init__(f"{what}: come back in {seconds:.0f} s")
        self.seconds = seconds


class Rate:
    """So many a second on average for each of many names, with bursts: a bucket that leaks.

    It remembers only who asked a moment ago.

    Args:
        a_second: how many; 0: no limit.

    >>> rate = Rate(10)
    >>> rate.wait("u", 150, now=0.0), rate.wait("u", 100, now=0.0), rate.wait("u", 1, now=0.0)
    (0.0, 0.0, 5.0)
    >>> rate.wait("v", 1, now=0.0), rate.wait("u", 1, now=5.0)
    (0.0, 0.0)
    """

    def __init__(self, a_second: float):
        self._a_second = a_second
        self._empty_at: collections.OrderedDict[str, float] = collections.OrderedDict()

    def wait(self, name: str, count: int, now: float) -> float:
        """Takes some, or says after how many seconds somebody may come back.

        Args:
            name: whose rate it is.
            count: how many, as many as a call may have: who has waited long enough is never told to send fewer.
            now: seconds of any clock that does not go back.
        """
        if not self._a_second:
            return 0.0
        while self._empty_at and next(iter(self._empty_at.values())) <= now:
            self._empty_at.popitem(last=False)
        empty_at = max(now, self._empty_at.get(name, now))
        if empty_at - now > BURST_SECONDS:
            return empty_at - now - BURST_SECONDS
        self._empty_at[name] = empty_at + count / self._a_second
        self._empty_at.move_to_end(name)
        return 0.0
