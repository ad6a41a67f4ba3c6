"""What the gateway counts, for Prometheus."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import prometheus_client as prometheus

from homefeed.serving.experiments.groups import Groups
from homefeed.serving.experiments.monitor import Party
from homefeed.serving.gateway.calibration import Parted
from homefeed.serving.gateway.quality import Quality
from homefeed.serving.gateway.schema import EventAnswer

_SECONDS = (0.002, 0.005, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


class Metrics:
    """The counters of one gateway, in a registry of their own.

    Attributes:
        quality: what becomes of cards.
    """

    def __init__(self) -> None:
        self.registry = registry = prometheus.CollectorRegistry()
        self._pages = prometheus.Histogram(
            "homefeed_page_seconds", "Time to make a page.", ["served_by"], buckets=_SECONDS, registry=registry
        )
        self._refused = prometheus.Counter(
            "homefeed_refused", "Requests that found no room.", ["what"], registry=registry
        )
        self._events = prometheus.Counter("homefeed_events", "Events by answer.", ["status"], registry=registry)
        self._lag = prometheus.Histogram(
            "homefeed_event_lag_seconds",
            "Time from the arrival of a call until its events are stored.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._commits = prometheus.Histogram(
            "homefeed_commit_seconds", "Time to put waiting events on disk.", buckets=_SECONDS, registry=registry
        )
        self._sizes = prometheus.Histogram(
            "homefeed_commit_events", "Events and pages of a commit.", buckets=_SIZES, registry=registry
        )
        self._models = prometheus.Histogram(
            "homefeed_model_seconds", "Time of a call.", ["model", "outcome"], buckets=_SECONDS, registry=registry
        )
        self._rules = prometheus.Counter(
            "homefeed_rules", "Pages on which rules were set aside or unmet.", ["outcome"], registry=registry
        )
        self._denied = prometheus.Gauge(
            "homefeed_items_denied", "Items that a rule keeps off every page.", ["rule"], registry=self.registry
        )
        self._lacking = prometheus.Gauge(
            "homefeed_objectives_lacking", "Objectives of surfaces that models do not know.", registry=self.registry
        )
        self._refused_policy = prometheus.Gauge(
            "homefeed_policy_refused",
            "1: a file of rules, surfaces or experiments is wrong, and not in force.",
            registry=registry,
        )
        self._outbox = prometheus.Gauge(
            "homefeed_outbox_entries", "Events and pages that the log has not confirmed.", registry=registry
        )
        self._outbox_age = prometheus.Gauge(
            "homefeed_outbox_seconds", "Age of the oldest of them.", registry=registry
        )
        self._untold = prometheus.Counter(
            "homefeed_outbox_lost", "Pages that the log is not told of, because too much waits.", registry=registry
        )
        self._unaudited = prometheus.Counter(
            "homefeed_audit_lost", "Facts that could not be written into the audit trail.", registry=registry
        )
        self._lost = prometheus.Counter("homefeed_exposures_lost", "Pages that were not recorded.", registry=registry)

        self._calibration = prometheus.Gauge(
            "homefeed_calibration",
            "Observed by predicted actions, after a version's first readers.",
            ["outcome", "model_version"],
            registry=registry,
        )
        self._parted = prometheus.Gauge(
            "homefeed_calibration_parted",
            "1: observed actions are surely no longer what a version's first readers did.",
            ["outcome", "model_version"],
            registry=registry,
        )
        self._arms = prometheus.Counter(
            "homefeed_arm_pages", "Pages by experiment and arm.", ["experiment", "arm"], registry=registry
        )
        self.quality = Quality(registry)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return bytes(prometheus.generate_latest(self.registry))

    def served(
        self, page: Mapping[str, Any], groups: Mapping[str, Groups], seconds: float, party: Party | None = None
    ) -> None:
        """A page was made, as it is recorded, of cards in groups; whose it is, listeners of `quality` are told."""
        self._pages.labels(page["served_by"]).observe(seconds)
        self.quality.served(page, groups, party)

    def calibrated(self, parted: Iterable[Parted]) -> None:
        """Predicted and observed rates were compared."""
        for one in parted:
            self._calibration.labels(one.outcome, one.model_version).set(one.now)
            self._parted.labels(one.outcome, one.model_version).set(one.is_parted)

    def arm_served(self, experiment: str, arm: str) -> None:
        """A page was a part of an experiment."""
        self._arms.labels(experiment, arm).inc()

    def ruled(self, set_aside: Sequence[str], unmet: Sequence[str]) -> None:
        """Rules were not kept on a page."""
        for outcome, names in (("set_aside", set_aside), ("unmet", unmet)):
            if names:
                self._rules.labels(outcome).inc()

    def denied(self, items: Mapping[str, int]) -> None:
        """How many items each `deny` and `hold` is about now."""
        self._denied.clear()
        for rule, count in items.items():
            self._denied.labels(rule).set(count)

    def lacks(self, objectives: int) -> None:
        """How many objectives of surfaces models do not know."""
        self._lacking.set(objectives)

    def refused_policy(self, is_wrong: bool) -> None:
        """A file was looked at."""
        self._refused_policy.set(is_wrong)

    def refused(self, what: str) -> None:
        """A request found no room."""
        self._refused.labels(what).inc()

    def told(self, answers: Iterable[EventAnswer]) -> None:
        """Events were answered."""
        for status, count in collections.Counter(answer.status for answer in answers).items():
            self._events.labels(status).inc(count)

    def stored(self, seconds: float) -> None:
        """A call's events are stored, so long after they came."""
        self._lag.observe(seconds)

    def committed(self, size: int, seconds: float) -> None:
        """Events and pages are on disk."""
        self._commits.observe(seconds)
        self._sizes.observe(size)

    def waits(self, count: int, seconds: float) -> None:
        """What the log has not confirmed."""
        self._outbox.set(count)
        self._outbox_age.set(seconds)

    def recorded(self, done: asyncio.Task[bool]) -> None:
        """A page was recorded, or not; and the log is told of it, or not."""
        if done.cancelled() or done.exception():
            self._lost.inc()
        elif not done.result():
            self._untold.inc()

    def audited(self, done: asyncio.Task[None]) -> None:
        """Something was written into the audit trail, or not."""
        if done.cancelled() or done.exception():
            self._unaudited.inc()

    @contextlib.contextmanager
    def asking(self, model: str) -> Iterator[None]:
        """Times a call to the model server."""
        started, outcome = time.perf_counter(), "failed"
        try:
            yield
            outcome = "answered"
        finally:
            self._models.labels(model, outcome).observe(time.perf_counter() - started)
