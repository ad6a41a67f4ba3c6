"""The home page as a service: events come in, and the next page knows them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import pathlib
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson

from homefeed.schemas.errors import HomefeedError
from homefeed.serving.gateway import page as pages
from homefeed.serving.gateway.hot import NOTHING_HOT, Hot
from homefeed.serving.gateway.impressions import Impressions
from homefeed.serving.gateway.intake import Intake, Read, explain
from homefeed.serving.gateway.ladder import Ladder, Listing, Question
from homefeed.serving.gateway.limits import Rate, TooMuch
from homefeed.serving.gateway.making import Draft, Found, Made, make, recorded
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.models import Models, Unavailable
from homefeed.serving.gateway.policies import Policies, Policy
from homefeed.serving.gateway.published import mark_of, read_blend, read_published, read_tokenizer, read_vectors
from homefeed.serving.gateway.pulse import Pulse
from homefeed.serving.gateway.schema import Ask, EventAnswer, read_event
from homefeed.serving.gateway.whys import Whys
from homefeed.serving.policy.arrangement import fatigue
from homefeed.serving.policy.surfaces import Surface
from homefeed.serving.profiles import Exposure, LiveEvent, LiveProfile, StoreError, open_store
from homefeed.serving.profiles.live import HIDING, IMPRESSION
from homefeed.serving.profiles.store import LIVE_FILE_NAME, MAX_EXPOSURES
from homefeed.serving.queries import Tokenize
from homefeed.serving.recommender import FUSED, RETRIEVAL

_logger = logging.getLogger(__name__)
NUM_CANDIDATES = 100
USER_RATE = 100.0
WHY_PAGES = 5  # So many pages cost as much as a card's reasons.
FOLLOW_SECONDS = 1.0
AWAY_SECONDS = 0.2  # While no model server answers: it is found soon after it is there.
PAUSES_SECONDS = (0.0, 0.02, 0.1, 0.5)  # Before looking for a page that another gateway served.


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


class Home:
    """Takes events and makes pages, inside one event loop.

    Args:
        config: how the page is made.
        metrics: where it is counted.

    Attributes:
        pulse: how late the event loop is.

    Raises:
        DatasetError: the profiles cannot be read.
        PolicyError: the rules or the surfaces cannot be used.
    """

    def __init__(self, config: Config, metrics: Metrics):
        self._config, self._metrics = config, metrics
        self._published = read_published(config.serving_dir, config.picks)
        self._vectors = read_vectors(config.serving_dir)
        self._policies = Policies(config.rules, config.surfaces, self._published.items)
        self._live = open_store(
            config.store, config.serving_dir / LIVE_FILE_NAME, metrics.committed, config.max_exposures
        )
        self._hot = Hot(self._live)
        self._impressions = Impressions(b"")
        self._rate = Rate(config.user_rate)
        self._intake = Intake(self._live, self._rate, metrics)
        self._recording = set[asyncio.Task[None]]()
        limits = {FUSED: config.max_in_flight, RETRIEVAL: config.max_in_flight * 3 // 2}
        self._models = Models(config.models, limits) if config.models else None
        self.pulse = Pulse()
        self._ladder = Ladder(self._models, config.budget_seconds, self.pulse, metrics)
        self._whys = Whys(self._live, self._models, self.pulse)
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
        looks = (self._look_at_pushes, self._look_at_models, self._look_at_what_happens)
        self._tasks = [asyncio.create_task(one) for one in (*map(_repeat, looks), self.pulse.beat())]

    async def learn(self) -> None:
        """Looks once at what a started home page follows."""
        await self._look_at_models()
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
        """Which rules are in force, and why those of the file are not."""
        policies = self._policies
        told = {"status": "ok", "rules_version": policies.policy.version}
        return told | ({"rules_fault": policies.fault} if policies.fault else {})

    def readiness(self) -> dict[str, Any]:
        """Whether there are items to show, and whether the models answer."""
        answering = self._models is not None and self._models.is_answering
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
        question, listing, draft = await self._drafted(ask)
        policy = self._policies.policy
        made = make(draft, self._published.items, self._vectors.of, policy.ruling)
        return self._served(ask, question, listing, draft, made, policy)

    async def preview(self, ask: Ask) -> Preview:
        """What a page would be, and how it comes about; nothing is recorded.

        Raises:
            LookupError: see `page`.
        """
        _, listing, draft = await self._drafted(ask)
        policy = self._policies.policy
        made = make(draft, self._published.items, self._vectors.of, policy.ruling, explains=True)
        return Preview(ask.surface, listing.served_by, policy.version, made)

    async def why(self, impression_id: str, item_id: str, user: str | None) -> dict[str, Any]:
        """Why a card was on a page, as docs/why.md has it.

        Args:
            impression_id: of the page.
            item_id: of the card.
            user: who had the page, as they call themselves; None: whoever it was, for one who has the files.

        Raises:
            LookupError: the page is not theirs, has no such card, or what it was made of is no longer there.
            TooMuch: there is no room beside the pages, or this user asks too often.
        """
        exposure = await self._live.exposure(impression_id)
        if exposure is None or (user is not None and exposure.user_id != self._published.name(user)):
            raise LookupError("impression_id: this user had no such page, or it is no longer kept")
        if seconds := self._rate.wait(exposure.user_id, WHY_PAGES, time.monotonic()):
            raise TooMuch("too many reasons are asked for", seconds)
        return await self._whys.why(
            exposure, item_id, self._published, self._vectors.of, self._policies.policy, self._tokenize
        )

    async def _drafted(self, ask: Ask) -> tuple[Question, Listing, Draft]:
        """What a page is made of."""
        surface = self._policies.policy.surfaces.get(ask.surface)
        if "similar" in surface.rows and not ask.item_id:
            raise LookupError(f"item_id: the surface {ask.surface} is about an item; name it")
        now, who, published = time.time(), ask.who(), self._published
        k = ask.k or surface.length
        user, items = self._published.name(who), published.items
        shown = await self._shown(ask.after, user)
        live, seen = await self._live.read(user)
        tokens = self._tokenize(ask.query) if self._tokenize and ask.query else ()
        reader = pages.reader(published.known(who), live, seen, now, tokens)
        version = self._models.version if self._models else None
        question = Question(user, live.version, published.mark, version, ask.query)
        # Models do not find what is in the history: only what else must not be shown costs places.
        wanted = max(NUM_CANDIDATES, k + len(shown) + len(live.hidden))
        listing, similar = await asyncio.gather(
            self._ladder.find(question, reader, items, wanted), self._similar(ask, surface, reader, k * 3)
        )
        reader = dataclasses.replace(reader, excluded=reader.excluded | shown | {ask.item_id or ""})
        seen_often = await self._fatigue(user, surface, now)
        hottest = NOTHING_HOT
        if surface.needs_hot:
            taken = (event.item_id for event in reader.request.history if event.event_type not in HIDING)
            hottest = self._hot.lists(taken, reader.excluded, NUM_CANDIDATES)
        found = Found(listing.places, listing.source, listing.served_by, similar, hottest)
        return question, listing, Draft(surface, reader, found, k, now, ask.query, bool(ask.after), seen_often)

    async def _fatigue(self, user: str, surface: Surface, now: float) -> dict[str, float]:
        """How often items were seen and not acted on, faded; what was acted on is not shown anyhow."""
        if surface.rotation is None:
            return {}
        seen = [(event.item_id, event.at) for event in await self._live.events(user) if event.type == IMPRESSION]
        return fatigue(seen, now, surface.rotation)

    async def _shown(self, after: str, user: str) -> frozenset[str]:
        """What was shown on a page and on those before it, which another gateway may be writing just now."""
        for pause in PAUSES_SECONDS if after else ():
            await asyncio.sleep(pause)
            if before := await self._live.scrolled(after, user):
                return frozenset(
                    item for page in before for row in orjson.loads(page)["rows"] for item in row["items"]
                )
        if after:
            raise LookupError("after: no page of this user has this impression_id; ask without `after`")
        return frozenset()

    async def _similar(
        self, ask: Ask, surface: Surface, reader: pages.Reader, k: int
    ) -> tuple[str, Sequence[str]] | None:
        """The item that is asked about, or else the reader's newest, and what is like it; None: there is none."""
        if ask.after or not surface.needs_similar:
            return None
        about = ask.item_id or pages.anchor(reader.request.history, self._published.items.titles.__contains__)
        return (about, await self._ladder.similar(about, k)) if about else None

    def _served(
        self, ask: Ask, question: Question, listing: Listing, draft: Draft, made: Made, policy: Policy
    ) -> dict[str, Any]:
        """The answer, which is recorded as well."""
        impression_id = uuid.uuid4().hex
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
        }
        page = recorded(draft, made, ask.item_id) | facts
        exposure = Exposure(impression_id, question.user, ask.after, int(draft.now * 1000), orjson.dumps(page))
        # Nobody waits for the disk to see a page; one that could not be recorded is counted.
        recording = asyncio.create_task(self._live.record(exposure))
        self._recording.add(recording)
        recording.add_done_callback(self._recording.discard)
        recording.add_done_callback(self._metrics.recorded)
        self._metrics.served(page, time.time() - draft.now)
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
        self._policies.follow(self._published.items)
        self._metrics.refused_policy(bool(self._policies.fault))
        return FOLLOW_SECONDS

    async def _look_at_models(self) -> float:
        """Learns what the model server has, and the vocabulary of a new version; as above."""
        version = self._models.version if self._models else None
        if self._models:
            with contextlib.suppress(Unavailable):
                await self._models.refresh()
        if self._tokenize is None or (self._models and self._models.version != version):
            self._tokenize = read_tokenizer(self._config.serving_dir)
            await self._read_beside_models()
        return AWAY_SECONDS if self._models and not self._models.is_answering else FOLLOW_SECONDS

    async def _look_at_what_happens(self) -> float:
        """Counts what all users did; what a store out of reach does not tell is counted later."""
        with contextlib.suppress(StoreError):
            await self._hot.follow()
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
