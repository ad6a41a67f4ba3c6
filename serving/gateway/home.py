"""The home page as a service: events come in, and the next page knows them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import pathlib
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from homefeed.schemas.errors import HomefeedError
from homefeed.serving.experiments.assignment import Assigned
from homefeed.serving.gateway import finding, trials
from homefeed.serving.gateway import page as pages
from homefeed.serving.gateway.hot import NOTHING_HOT, Hot
from homefeed.serving.gateway.impressions import Impressions
from homefeed.serving.gateway.intake import Intake, Read, explain
from homefeed.serving.gateway.labels import Labels
from homefeed.serving.gateway.ladder import Ladder, Listing, Question
from homefeed.serving.gateway.limits import Rate, TooMuch
from homefeed.serving.gateway.making import Draft, Found, Made, make, recorded, seed_of
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.policies import Policies, Policy
from homefeed.serving.gateway.published import mark_of, read_blend, read_published, read_tokenizer, read_vectors
from homefeed.serving.gateway.pulse import Pulse
from homefeed.serving.gateway.schema import Ask, EventAnswer, read_event
from homefeed.serving.gateway.trials import Trials
from homefeed.serving.gateway.whys import PAGES_OF_A_WHY, Whys
from homefeed.serving.profiles import Exposure, LiveEvent, LiveProfile, StoreError, open_store
from homefeed.serving.profiles.live import HIDING
from homefeed.serving.profiles.store import LIVE_FILE_NAME, MAX_EXPOSURES
from homefeed.serving.queries import Tokenize
from homefeed.serving.recommender import FUSED, RETRIEVAL

_logger = logging.getLogger(__name__)
NUM_CANDIDATES = 100
USER_RATE = 100.0
FOLLOW_SECONDS = 1.0
AWAY_SECONDS = 0.2  # While no model server answers: it is found soon after it is there.


@dataclasses.dataclass(frozen=True)
class Config:
    """How the home page is made.

    Attributes:
        serving_dir: where models and profiles are published; the live store is beside them.
        store: URL of Redis, for gateways on several machines; "": a file.
        models: `host:port` of the model server; "": none.
        picks: ids of the editors' choice, best first.
        budget_seconds: how long models may take for a page, all tries together.
        max_in_flight: calls to the model server under way beyond which pages come from lower rungs.
        max_exposures: pages that are kept as they were served.
        user_rate: events and pages of one user a second, with bursts; 0: no limit.
        rules: file of what must and must not be on a page; None: there is none.
        surfaces: file of the kinds of pages; None: the usual ones.
        experiments: file of experiments on them; None: there are none.
    """

    serving_dir: pathlib.Path
    models: str = ""
    picks: tuple[str, ...] = ()
    budget_seconds: float = 0.25
    max_in_flight: int = 8
    max_exposures: int = MAX_EXPOSURES
    store: str = ""
    user_rate: float = USER_RATE
    rules: pathlib.Path | None = None
    surfaces: pathlib.Path | None = None
    experiments: pathlib.Path | None = None


@dataclasses.dataclass(frozen=True)
class Preview:
    """A page that nobody was shown.

    Attributes:
        surface: its name.
        served_by: the rung.
        rules_version: of the rules that were in force.
        made: the page, with the steps of its rows.
    """

    surface: str
    served_by: str
    rules_version: str
    made: Made


class _Drafted(NamedTuple):
    """What a page is made of."""

    policy: Policy
    question: Question
    listing: Listing
    draft: Draft
    assigned: Assigned
    teams: Mapping[str, str]  # Item → label that chose it, of an interleaved list.


class Home:
    """Takes events and makes pages, inside one event loop.

    Args:
        config: how the page is made.
        metrics: where it is counted.

    Attributes:
        pulse: how late the event loop is.

    Raises:
        DatasetError: the profiles cannot be read.
        PolicyError: rules, surfaces or experiments cannot be used.
    """

    def __init__(self, config: Config, metrics: Metrics):
        self._config, self._metrics = config, metrics
        self._published = read_published(config.serving_dir, config.picks)
        self._vectors = read_vectors(config.serving_dir)
        self._policies = Policies(config.rules, config.surfaces, self._published.items, config.experiments)
        self._live = open_store(
            config.store, config.serving_dir / LIVE_FILE_NAME, metrics.committed, config.max_exposures
        )
        self._hot = Hot(self._live)
        self._impressions = Impressions(b"")
        self._rate = Rate(config.user_rate)
        self._intake = Intake(self._live, self._rate, metrics)
        self._recording = set[asyncio.Task[None]]()
        limits = {FUSED: config.max_in_flight, RETRIEVAL: config.max_in_flight * 3 // 2}
        self._models = Labels(config.models, limits) if config.models else None
        self._trials = Trials(self._live, metrics)
        self.pulse = Pulse()
        self._ladder = Ladder(self._models, config.budget_seconds, self.pulse, metrics)
        self._whys = Whys(self._live, self._models.stable if self._models else None, self.pulse)
        self._tokenize: Tokenize | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to follow pushes and the model server, which nobody waits for: pages come from the lower rungs.

        Raises:
            StoreError: the store is out of reach.
        """
        self._impressions = Impressions(await self._live.secret())
        self._tokenize = read_tokenizer(self._config.serving_dir)
        await self._rank_what_is_hot()
        looks = (self._look_at_pushes, self._look_at_models, self._look_at_what_happens, self._look_at_experiments)
        self._tasks = [asyncio.create_task(one) for one in (*map(_repeat, looks), self.pulse.beat())]

    async def learn(self) -> None:
        """Looks once at what a started home page follows."""
        await self._look_at_models()
        await self._look_at_experiments()
        await self._rank_what_is_hot()
        await self._hot.follow()

    async def stop(self) -> None:
        """Writes what waits and closes everything."""
        for task in self._tasks:
            task.cancel()
        if self._models:
            await self._models.close()
        await asyncio.gather(*self._recording, return_exceptions=True)
        await self._live.close()

    def require_room(self, is_keyless: bool = False) -> None:
        """Refuses a page where even the last rung would come late.

        Args:
            is_keyless: they have no key where others need one, and do not get the room of those.

        Raises:
            TooMuch: as many as can be made were begun a moment ago.
        """
        if not self.pulse.admits(is_keyless):
            self._metrics.refused("page")
            raise TooMuch("more pages are asked for than can be made", 1)

    def health(self) -> dict[str, Any]:
        """Which rules and experiments are in force, why those of the file are not, and what models no longer say."""
        policies = self._policies
        told = {"status": "ok", "rules_version": policies.policy.version}
        if policies.policy.experiments.version:
            told["experiments_version"] = policies.policy.experiments.version
        faults = {"rules_fault": policies.fault, "calibration": "; ".join(self._trials.parted)}
        return told | {name: fault for name, fault in faults.items() if fault}

    def readiness(self) -> dict[str, Any]:
        """Whether there are items to show, and whether the models answer."""
        answering = self._models is not None and self._models.stable.is_answering
        return {"items": len(self._published.items.cards), "models": answering}

    # --- What users do ---

    async def take(self, said: Sequence[Any], read: Read = read_event) -> list[EventAnswer]:
        """See `Intake.take`."""
        return await self._intake.take(said, read, self._published, self._impressions)

    def explain(self, said: Sequence[Any], read: Read = read_event) -> list[EventAnswer]:
        """What `take` would say of events, without storing any."""
        return explain(said, read)

    async def profile(self, user: str) -> LiveProfile:
        """The live profile of a user or guest."""
        return (await self._live.read(self._published.name(user)))[0]

    async def events(self, user: str) -> list[LiveEvent]:
        """All live events of a user or guest, in the order of arrival."""
        return await self._live.events(self._published.name(user))

    def title(self, item_id: str) -> str:
        """What an item is called."""
        return self._published.items.titles.get(item_id, item_id)

    async def merge(self, guest: str, user_id: str) -> int:
        """A guest turns out to be a user: gives the number of events that moved, 0 the second time."""
        return await self._live.merge(self._published.name(guest), self._published.name(user_id))

    async def forget(self, user: str) -> int:
        """Removes what is known live of a user or guest; gives the number of events."""
        self._ladder.forget(self._published.name(user))
        self._trials.forget(self._published.name(user))
        return await self._live.forget(self._published.name(user))

    # --- What they are shown ---

    async def page(self, ask: Ask) -> dict[str, Any]:
        """A page for a user, a guest or a stranger.

        Raises:
            LookupError: there is no such surface, it lacks an item, or `after` names no page of theirs.
            TooMuch: they ask too often.
        """
        if ask.user_id is None and ask.session_id is None:
            ask = ask.model_copy(update={"session_id": uuid.uuid4().hex})
        if seconds := self._rate.wait(ask.who(), 1, time.monotonic()):
            self._metrics.refused("page")
            raise TooMuch("too many pages of one user", seconds)
        impression_id = uuid.uuid4().hex
        drafted = await self._drafted(ask, impression_id)
        made = make(drafted.draft, self._published.items, self._vectors.of, drafted.policy.ruling)
        return self._served(ask, impression_id, drafted, made)

    async def preview(self, ask: Ask) -> Preview:
        """What a page would be, and how it comes about; nothing is recorded.

        Raises:
            LookupError: see `page`.
        """
        drafted = await self._drafted(ask, uuid.uuid4().hex)
        made = make(drafted.draft, self._published.items, self._vectors.of, drafted.policy.ruling, explains=True)
        return Preview(ask.surface, drafted.listing.served_by, drafted.policy.version, made)

    async def why(self, impression_id: str, item_id: str, user: str | None) -> dict[str, Any]:
        """Why a card was on a page, for whose it was (`user`; None: for an operator); see `Whys.why`.

        Raises:
            LookupError: the page is not theirs, or has no such card. TooMuch: no room, or asked too often.
        """
        exposure = await self._live.exposure(impression_id)
        if exposure is None or (user is not None and exposure.user_id != self._published.name(user)):
            raise LookupError("impression_id: this user had no such page, or it is no longer kept")
        if seconds := self._rate.wait(exposure.user_id, PAGES_OF_A_WHY, time.monotonic()):
            raise TooMuch("too many reasons are asked for", seconds)
        return await self._whys.why(
            exposure, item_id, self._published, self._vectors.of, self._policies.policy, self._tokenize
        )

    async def _drafted(self, ask: Ask, impression_id: str) -> _Drafted:
        """What a page is made of. Lists are kept for a while, and chance never is: each page draws its own cards."""
        policy, user = self._policies.policy, self._published.name(ask.who())
        surface = policy.surfaces.get(ask.surface)
        assigned = await self._trials.assigned(policy.experiments, ask, user, time.time())
        surface = assigned.on(surface)
        if "similar" in surface.rows and not ask.item_id:
            raise LookupError(f"item_id: the surface {ask.surface} is about an item; name it")
        now = time.time_ns() // 1_000_000 / 1000  # As it is recorded.
        who, published = ask.who(), self._published
        k = ask.k or surface.length
        items = published.items
        shown = await finding.shown_before(self._live, ask.after, user)
        live, seen = await self._live.read(user)
        tokens = self._tokenize(ask.query) if self._tokenize and ask.query else ()
        reader = pages.reader(published.known(who), live, seen, now, tokens)
        reader = dataclasses.replace(reader, request=dataclasses.replace(reader.request, objective=surface.objective))
        question = Question(user, live.version, published.mark, None, ask.query, surface.objective)
        questions = trials.asked(question, assigned, self._models)
        # Models do not find what is in the history: only what else must not be shown costs places.
        wanted = max(NUM_CANDIDATES, k + len(shown) + len(live.hidden))
        similar, listings = await asyncio.gather(
            finding.similar(self._ladder, ask, surface, reader, items.titles, k * 3),
            asyncio.gather(*(self._ladder.find(question, reader, items, wanted) for question in questions)),
        )
        reader = dataclasses.replace(reader, excluded=reader.excluded | shown | {ask.item_id or ""})
        listing, teams = listings[0], dict[str, str]()
        if assigned.interleave:
            rules = policy.ruling.counting(reader.request.features, now, surface.rules)
            may_show = functools.partial(trials.may_show, reader.excluded, items, rules, now)
            listing, teams = trials.together(listings, may_show)
        seen_often = await finding.seen_often(self._live, user, surface, now)
        hottest = NOTHING_HOT
        if surface.needs_hot:
            taken = (event.item_id for event in reader.request.history if event.event_type not in HIDING)
            hottest = self._hot.lists(taken, reader.excluded, NUM_CANDIDATES)
        found = Found(listing.places, listing.source, listing.served_by, similar, hottest)
        seed = seed_of(impression_id)
        draft = Draft(surface, reader, found, k, now, ask.query, bool(ask.after), seen_often, seed)
        return _Drafted(policy, questions[0], listing, draft, assigned, teams)

    def _served(self, ask: Ask, impression_id: str, drafted: _Drafted, made: Made) -> dict[str, Any]:
        """The answer, which is recorded as well."""
        policy, question, listing, draft, assigned, teams = drafted
        seconds = time.time() - draft.now
        facts = {
            "impression_id": impression_id,
            "surface": ask.surface,
            "served_by": listing.served_by,
            "age_ms": max(0, int((draft.now - listing.made_at) * 1000)),
            "profile_version": question.profile_version,
            "model_version": listing.model_version,
            "rules_version": policy.version,
            "set_aside": made.set_aside,
            "unmet": made.unmet,
            "arms": dict(assigned.arms),
        }
        of_trials = trials.recorded(assigned, made, teams, self._published.items, seconds)
        page = recorded(draft, made, ask.item_id) | facts | of_trials | {"pushed_at": question.catalogue[0]}
        at = round(draft.now * 1000)
        exposure = Exposure(impression_id, question.user, ask.after, at, orjson.dumps(page), assigned.fresh)
        # Nobody waits for the disk to see a page; one that could not be recorded is counted.
        recording = asyncio.create_task(self._live.record(exposure))
        self._recording.add(recording)
        recording.add_done_callback(self._recording.discard)
        recording.add_done_callback(self._metrics.recorded)
        party = self._trials.served(policy.experiments, assigned, question.user, made, page)
        self._metrics.served(page, seconds, party)
        self._metrics.ruled(made.set_aside, made.unmet)
        token = self._impressions.token(impression_id, question.user)
        return {**facts, "token": token, "session_id": ask.session_id, "rows": [vars(row) for row in made.rows]}

    # --- What is published ---

    async def _look_at_pushes(self) -> float:
        """Takes over a new push; gives the seconds until the next look."""
        serving_dir = self._config.serving_dir
        with contextlib.suppress(HomefeedError, OSError):  # What cannot be read now is looked at again.
            if mark_of(serving_dir) != self._published.mark:
                self._published = await asyncio.to_thread(read_published, serving_dir, self._config.picks)
                await self._read_beside_models()
        await asyncio.to_thread(self._policies.follow, self._published.items)  # Reading a long file takes seconds.
        self._metrics.refused_policy(bool(self._policies.fault))
        return FOLLOW_SECONDS

    async def _look_at_models(self) -> float:
        """Learns what the model server has, and the vocabulary of a new version; as above."""
        version = self._models.stable.version if self._models else None
        if self._models:
            await self._models.refresh(self._policies.policy.experiments.labels)
        if self._tokenize is None or (self._models and self._models.stable.version != version):
            self._tokenize = read_tokenizer(self._config.serving_dir)
            await self._read_beside_models()
        return AWAY_SECONDS if self._models and not self._models.stable.is_answering else FOLLOW_SECONDS

    async def _look_at_what_happens(self) -> float:
        """Counts what all users did; what a store out of reach does not tell is counted later."""
        with contextlib.suppress(StoreError):
            await self._hot.follow()
        return FOLLOW_SECONDS

    async def _look_at_experiments(self) -> float:
        """Learns of stops, and looks at the guardrails."""
        with contextlib.suppress(StoreError):
            await self._trials.follow(self._policies.policy.experiments, time.time())
        return FOLLOW_SECONDS

    async def _read_beside_models(self) -> None:
        """Takes over what lies beside the stable models."""
        self._vectors = await asyncio.to_thread(read_vectors, self._config.serving_dir)
        await self._rank_what_is_hot()

    async def _rank_what_is_hot(self) -> None:
        """Catalogue, vectors and weights as they are now."""
        await self._hot.take_over(self._published.items, self._vectors, read_blend(self._config.serving_dir))


async def _repeat(look: Callable[[], Awaitable[float]]) -> None:
    while True:
        try:
            seconds = await look()
        except Exception:  # Whatever it was: who never looks again serves yesterday's models for ever.
            _logger.exception("what the gateway follows could not be read; it looks again")
            seconds = FOLLOW_SECONDS
        await asyncio.sleep(seconds)
