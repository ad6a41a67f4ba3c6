"""The profile after some events, without a store: what every stored profile must equal."""

import functools
from collections.abc import Iterable

from homefeed.serving.profiles.live import LiveEvent, LiveProfile, apply


def fold(events: Iterable[LiveEvent], start: LiveProfile | None = None) -> LiveProfile:
    return functools.reduce(apply, events, start or LiveProfile())
