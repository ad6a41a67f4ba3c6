"""What a home page follows: pushes, the model server, rules and experiments, and what everybody does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from homefeed.schemas.errors import HomefeedError
from homefeed.serving.audit import AuditError, Trail
from homefeed.serving.audit.versions import note_in_force
from homefeed.serving.gateway.config import Config
from homefeed.serving.gateway.hot import Hot
from homefeed.serving.gateway.labels import Labels
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.policies import Policies
from homefeed.serving.gateway.published import (
    Published,
    mark_of,
    read_blend,
    read_published,
    read_tokenizer,
    read_vectors,
)
from homefeed.serving.gateway.trials import Trials
from homefeed.serving.profiles import Store, StoreError
from homefeed.serving.queries import Tokenize
from homefeed.serving.recommender import FUSED, RETRIEVAL

_logger = logging.getLogger(__name__)
FOLLOW_SECONDS = 1.0
AWAY_SECONDS = 0.2  # While no model server answers: it is found soon after it is there.


class Following:
    """Looks again and again, and has what it saw last.

    Args:
        config: where everything is.
        live: store of events and pages.
        metrics: where it is counted.
        trail: where it is told which rules, surfaces and experiments came into force.

    Attributes:
        policies: rules, surfaces and experiments, with the push that they stand to.
        vectors: of its items.
        models: the model server; None: there is none.
        hot: what is hot now.
        trials: the experiments under way.
        tokenize: text → token ids of the models in service; None: they know no text.

    Raises:
        DatasetError: the profiles cannot be read.
        PolicyError: rules, surfaces or experiments cannot be used.
    """

    def __init__(self, config: Config, live: Store, metrics: Metrics, trail: Trail):
        self._config, self._metrics, self._trail = config, metrics, trail
        self._noted: dict[str, str] = {}
        self._last = read_published(config.serving_dir, config.picks)
        self.vectors = read_vectors(config.serving_dir)
        self.policies = Policies(config.rules, config.surfaces, self._last, config.experiments)
        limits = {FUSED: config.max_in_flight, RETRIEVAL: config.max_in_flight * 3 // 2}
        self.models = Labels(config.models, limits) if config.models else None
        self.hot = Hot(live)
        self.trials = Trials(live, metrics, trail)
        self.tokenize: Tokenize | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def published(self) -> Published:
        """Profiles and items of the push in force; whoever also needs rules takes both from one `policies.policy`."""
        return self.policies.policy.published

    async def start(self) -> None:
        """Begins to look; nobody waits for the model server."""
        self.tokenize = read_tokenizer(self._config.serving_dir)
        await self._rank_what_is_hot()
        looks = (self._look_at_pushes, self._look_at_models, self._look_at_what_happens, self._look_at_experiments)
        self._tasks = [asyncio.create_task(one) for one in map(repeat, looks)]

    async def learn(self) -> None:
        """Looks once at all that changes without a push."""
        await self._look_at_models()
        await self._look_at_experiments()
        await self._rank_what_is_hot()
        await self.hot.follow()

    async def stop(self) -> None:
        """Looks no more."""
        for task in self._tasks:
            task.cancel()
        if self.models:
            await self.models.close()

    async def _look_at_pushes(self) -> float:
        """Takes over a new push; gives the seconds until the next look."""
        serving_dir = self._config.serving_dir
        with contextlib.suppress(HomefeedError, OSError):  # What cannot be read now is looked at again.
            if mark_of(serving_dir) != self._last.mark:
                self._last = await asyncio.to_thread(read_published, serving_dir, self._config.picks)
        before = self.published
        await asyncio.to_thread(self.policies.follow, self._last)  # Reading a long file takes seconds.
        if self.published is not before:
            with contextlib.suppress(HomefeedError, OSError):
                await self._read_beside_models()
        self._metrics.refused_policy(bool(self.policies.fault))
        self._metrics.denied(self.policies.denied)
        await self._note_policies()
        return FOLLOW_SECONDS

    async def _note_policies(self) -> None:
        """Writes which versions came into force; what cannot be written now is written at the next look."""
        with contextlib.suppress(AuditError, OSError):
            for kind, version in self.policies.policy.versions.items():
                path = self._config.policies[kind]
                if path and self._noted.get(kind) != version:
                    rules = self.policies.policy.ruling.rules
                    of_rules = (rules.text_version, rules.lists) if kind == "rules" else ()
                    await asyncio.to_thread(note_in_force, self._trail, kind, path, version, *of_rules)
                    self._noted[kind] = version

    async def _look_at_models(self) -> float:
        """Learns what the model server has, and the vocabulary of a new version; as above."""
        version = self.models.stable.version if self.models else None
        if self.models:
            policy = self.policies.policy
            await self.models.refresh(policy.experiments.labels, policy.objectives)
            self._metrics.lacks(len(self.models.lacking))
        if self.tokenize is None or (self.models and self.models.stable.version != version):
            self.tokenize = read_tokenizer(self._config.serving_dir)
            await self._read_beside_models()
        return AWAY_SECONDS if self.models and not self.models.stable.is_answering else FOLLOW_SECONDS

    async def _look_at_what_happens(self) -> float:
        """Counts what all users did; what a store out of reach does not tell is counted later."""
        with contextlib.suppress(StoreError):
            await self.hot.follow()
        return FOLLOW_SECONDS

    async def _look_at_experiments(self) -> float:
        """Learns of stops, and looks at the guardrails."""
        with contextlib.suppress(StoreError):
            await self.trials.follow(self.policies.policy.experiments, time.time())
        return FOLLOW_SECONDS

    async def _read_beside_models(self) -> None:
        """Takes over what lies beside the stable models."""
        self.vectors = await asyncio.to_thread(read_vectors, self._config.serving_dir)
        await self._rank_what_is_hot()

    async def _rank_what_is_hot(self) -> None:
        """Catalogue, vectors and weights as they are now."""
        await self.hot.take_over(self.published.items, self.vectors, read_blend(self._config.serving_dir))


async def repeat(look: Callable[[], Awaitable[float]]) -> None:
    """Looks for ever; each look gives the seconds until the next."""
    while True:
        try:
            seconds = await look()
        except Exception:  # Whatever it was: who never looks again serves yesterday's models for ever.
            _logger.exception("what the gateway follows could not be read; it looks again")
            seconds = FOLLOW_SECONDS
        await asyncio.sleep(seconds)
