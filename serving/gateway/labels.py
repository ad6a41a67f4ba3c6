"""The models of a server under the labels that pages are made with."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping

from homefeed.serving.gateway.models import Models, Unavailable
from homefeed.serving.releases.server_config import STABLE


class Labels:
    """Models by label. Stable ones stand in for those of a label that is gone, as after a promotion.

    Args:
        target: `host:port` of the server's gRPC port.
        max_in_flight: see `Models`; each label has as much room.
    """

    def __init__(self, target: str, max_in_flight: Mapping[str, int]):
        self._target, self._max_in_flight = target, max_in_flight
        self.stable = Models(target, max_in_flight)
        self._others: dict[str, Models] = {}

    def of(self, label: str) -> Models:
        """The models that answer for a label."""
        other = self._others.get(label)
        return other if other and other.is_answering else self.stable

    @property
    def versions(self) -> tuple[int | None, ...]:
        """Of the models under each label, as far as is known."""
        return self.stable.version, *(models.version for models in self._others.values())

    @property
    def lacking(self) -> dict[str, str]:
        """Objective that models lack → why."""
        return {
            objective: why for one in (*self._others.values(), self.stable) for objective, why in one.lacking.items()
        }

    async def learnt(self, label: str) -> Models:
        """As `of`, of a label that nobody may have asked for yet, as of an experiment that is over."""
        if label != STABLE and label not in self._others:
            self._others[label] = Models(self._target, self._max_in_flight, label)
            with contextlib.suppress(Unavailable):
                await self._others[label].refresh()
        return self.of(label)

    async def refresh(self, labels: Collection[str], objectives: Collection[str] = ()) -> None:
        """Learns what is stable now, and what is under other labels; see `Models.refresh`."""
        with contextlib.suppress(Unavailable):
            await self.stable.refresh(objectives)
        for label in {*labels} - {STABLE}:
            self._others.setdefault(label, Models(self._target, self._max_in_flight, label))
        for models in self._others.values():
            with contextlib.suppress(Unavailable):
                await models.refresh(objectives)

    async def close(self) -> None:
        """Closes all connections."""
        for models in (self.stable, *self._others.values()):
            await models.close()
