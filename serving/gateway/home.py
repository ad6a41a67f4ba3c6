"""The home page as a service: events come in, and the next page knows them."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from homefeed.serving.audit import Trail, What, aside
from homefeed.serving.audit.trail import FILE_NAME
from homefeed.serving.experiments.groups import Groups, by_reader
from homefeed.serving.gateway import trials
from homefeed.serving.gateway.auth import READER
from homefeed.serving.gateway.config import Config
from homefeed.serving.gateway.drafting import Drafted, draft, listed
from homefeed.serving.gateway.following import Following
from homefeed.serving.gateway.impressions import Impressions
from homefeed.serving.gateway.intake import Intake, Read, explain
from homefeed.serving.gateway.items import Items
from homefeed.serving.gateway.ladder import Ladder
from homefeed.serving.gateway.limits import Rate, TooMuch
from homefeed.serving.gateway.making import Draft, Made, make, recorded
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.pulse import Pulse
from homefeed.serving.gateway.schema import Ask, EventAnswer, read_event
from homefeed.serving.gateway.shown import ShownPages
from homefeed.serving.gateway.whys.whys import PAGES_OF_A_WHY, Sources, Whys
from homefeed.serving.log.address import read_address
from homefeed.serving.log.kafka import Log
from homefeed.serving.log.sender import Sender
from homefeed.serving.policy.errors import NotFound
from homefeed.serving.profiles import Exposure, LiveEvent, LiveProfile, open_store
from homefeed.serving.profiles.store import LIVE_FILE_NAME


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
        config: as it was given.
        live: store of events and pages.
        known: what it follows.
        trail: the audit trail.
        pulse: how late the event loop is.

    Raises:
        DatasetError: the profiles cannot be read.
        PolicyError: rules, surfaces or experiments cannot be used.
        LogError: the log's address is none.
    """

    def __init__(self, config: Config, metrics: Metrics):
        self._metrics, self.config = metrics, config
        self.live = open_store(
            config.store,
            config.serving_dir / LIVE_FILE_NAME,
            metrics.committed,
            config.max_exposures,
            logs=bool(config.log),
        )
        log = Log(read_address(config.log)) if config.log else None
        self._sender = Sender(self.live.outbox(), log, metrics.waits) if log else None
        self.trail = Trail(config.trail_dir / FILE_NAME, config.audit_days)
        self.known = Following(config, self.live, metrics, self.trail)
        self._impressions = Impressions(b"")
        self._rate = Rate(config.user_rate)
        self._shown = ShownPages(self.live)
        self._intake = Intake(self.live, self._rate, metrics, self._shown, self._sender)
        self._recording = set[asyncio.Task[Any]]()
        self.pulse = Pulse()
        models = self.known.models
        self._ladder = Ladder(models, config.budget_seconds, self.pulse, metrics)
        self._whys = Whys(self.live, models, self.pulse, config.whys_ahead)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to follow pushes and the model server, which nobody waits for: pages come from the lower rungs.

        Raises:
            StoreError: the store is out of reach.
            LogError: the log refuses, or has no such topic.
        """
        self._impressions = Impressions(await self.live.secret())
        await self.live.begin()
        if self._sender:
            await self._sender.start()
        await self.known.start()
        self._tasks = [
            asyncio.create_task(self.pulse.beat()),
            asyncio.create_task(self._whys.ahead.work(self._make_ahead)),
        ]

    async def learn(self) -> None:
        """Looks once at what a started home page follows."""
        await self.known.learn()

    async def stop(self) -> None:
        """Writes what waits and closes everything."""
        for task in self._tasks:
            task.cancel()
        await self.known.stop()
        await asyncio.gather(*self._recording, return_exceptions=True)
        if self._sender:
            await self._sender.stop()
        await self.live.close()

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
        policies = self.known.policies
        told = {"status": "ok", "rules_version": policies.policy.version}
        if policies.policy.experiments.version:
            told["experiments_version"] = policies.policy.experiments.version
        denied = ", ".join(f"{rule}: {count}" for rule, count in policies.denied.items())
        faults = {
            "denied": denied,
            "rules_fault": policies.fault,
            "objective_fault": "; ".join(f"{name}: {why}" for name, why in self._lacking().items()),
            "calibration": "; ".join(self.known.trials.parted),
        }
        return told | {name: fault for name, fault in faults.items() if fault}

    def _lacking(self) -> dict[str, str]:
        return self.known.models.lacking if self.known.models else {}

    def readiness(self) -> dict[str, Any]:
        """Whether there are items to show, and whether the models answer."""
        answering = self.known.models is not None and self.known.models.stable.is_answering
        return {"items": len(self.known.published.items.cards), "models": answering}

    # --- What users do ---

    async def take(self, said: Sequence[Any], read: Read = read_event) -> list[EventAnswer]:
        """See `Intake.take`."""
        return await self._intake.take(said, read, self.known.published, self._impressions)

    def explain(self, said: Sequence[Any], read: Read = read_event) -> list[EventAnswer]:
        """What `take` would say of events, without storing any."""
        return explain(said, read)

    async def profile(self, user: str) -> LiveProfile:
        """The live profile of a user or guest."""
        return (await self.live.read(self.known.published.name(user)))[0]

    async def events(self, user: str) -> list[LiveEvent]:
        """All live events of a user or guest, in the order of arrival."""
        return await self.live.events(self.known.published.name(user))

    def title(self, item_id: str) -> str:
        """What an item is called; one that nobody may be shown goes by its id."""
        return self.known.policies.policy.title(item_id)

    async def merge(self, guest: str, user_id: str) -> int:
        """A guest turns out to be a user: gives the number of events that moved, 0 the second time."""
        names = self.known.published.name(guest), self.known.published.name(user_id)
        # First the trail: what it has of the guest would stay when the user is forgotten.
        await asyncio.to_thread(self.trail.renamed, *names)
        moved = await self.live.merge(*names)
        if self._sender:
            await self._sender.settled()
        return moved

    async def forget(self, user: str, who: str = READER) -> int:
        """Removes what is known live of a user or guest; gives the number of events.

        Args:
            user: the user or guest.
            who: asks for it, for the audit trail.
        """
        name = self.known.published.name(user)
        async with aside(self.trail.forgetting([name], who)) as told:
            self._ladder.forget(name)
            self._whys.ahead.forget(name)
            self.known.trials.forget(name)
            told["events"] = removed = await self.live.forget(name)
            if self._sender:
                await self._sender.settled()
        return removed

    def note(self, what: What, who: str, **facts: Any) -> None:
        """Writes into the audit trail; nobody waits for it, and what could not be written is counted."""
        noting = asyncio.create_task(asyncio.to_thread(self.trail.add, what, who, **facts))
        self._recording.add(noting)
        noting.add_done_callback(self._recording.discard)
        noting.add_done_callback(self._metrics.audited)

    # --- What they are shown ---

    async def page(self, ask: Ask) -> dict[str, Any]:
        """A page for a user, a guest or a stranger.

        Raises:
            NotFound: there is no such surface, it lacks an item, or `after` names no page of theirs.
            TooMuch: they ask too often.
        """
        if ask.user_id is None and ask.session_id is None:
            ask = ask.model_copy(update={"session_id": uuid.uuid4().hex})
        if seconds := self._rate.wait(ask.who(), 1, time.monotonic()):
            self._metrics.refused("page")
            raise TooMuch("too many pages of one user", seconds)
        impression_id = uuid.uuid4().hex
        drafted = await draft(ask, impression_id, self.known, self.live, self._ladder)
        made = self._made(drafted)
        return self._served(ask, impression_id, drafted, made)

    async def preview(self, ask: Ask) -> Preview:
        """What a page would be, and how it comes about; nothing is recorded.

        Raises:
            NotFound: see `page`.
        """
        drafted = await draft(ask, uuid.uuid4().hex, self.known, self.live, self._ladder)
        made = self._made(drafted, explains=True)
        return Preview(ask.surface, drafted.listing.served_by, drafted.policy.version, made)

    def _made(self, drafted: Drafted, explains: bool = False) -> Made:
        policy = drafted.policy
        return make(drafted.draft, policy.published.items, self.known.vectors.of, policy.ruling, explains=explains)

    def _groups(self, made: Made, draft: Draft, items: Items) -> dict[str, Groups]:
        """Item → its groups."""
        reader = by_reader(draft.reader.is_new)
        return {
            card["item_id"]: items.groups(card["item_id"], reader, draft.now)
            for row in made.rows
            for card in row.cards
        }

    async def why(self, impression_id: str, item_id: str, user: str | None, who: str = READER) -> dict[str, Any]:
        """Why a card was on a page, for whose it was (`user`; None: for an operator, `who`); see `Whys.why`.

        Raises:
            NotFound: the page is not theirs, or has no such card. TooMuch: no room, or asked too often.
        """
        exposure = await self.live.exposure(impression_id)
        if exposure is None or (user is not None and exposure.user_id != self.known.published.name(user)):
            raise NotFound("impression_id: this user had no such page, or it is no longer kept")
        if seconds := self._rate.wait(exposure.user_id, PAGES_OF_A_WHY, time.monotonic()):
            raise TooMuch("too many reasons are asked for", seconds)
        told = await self._whys.why(exposure, item_id, self._sources())
        self._note_reasons(exposure, told, who)
        return told

    def _note_reasons(self, exposure: Exposure, told: Mapping[str, Any], who: str) -> None:
        said = [one["text"] for one in (*told["reasons"], *filter(None, [told["instead"]]))]
        facts = {name: told[name] for name in ("is_measured", "answered_by")}
        about = {"subject": told["item_id"], "user_id": exposure.user_id, "impression_id": exposure.impression_id}
        self.note("why", who, **about, **facts, reasons=said)

    async def _make_ahead(self, exposure: Exposure, items: Sequence[str]) -> None:
        await self._whys.make_ahead(exposure, items, self._sources())

    def _sources(self) -> Sources:
        known = self.known
        return Sources(known.policies.policy, known.vectors.of, known.tokenize)

    def _served(self, ask: Ask, impression_id: str, drafted: Drafted, made: Made) -> dict[str, Any]:
        """The answer, which is recorded as well."""
        policy, question, listing, of_page, assigned, teams = drafted
        seconds = time.time() - of_page.now
        facts = {
            "impression_id": impression_id,
            "surface": ask.surface,
            "served_by": listing.served_by,
            "objective": listing.objective,
            "age_ms": max(0, int((of_page.now - listing.made_at) * 1000)),
            "profile_version": question.profile_version,
            "model_version": listing.model_version,
            "rules_version": policy.version,
            "set_aside": made.set_aside,
            "unmet": made.unmet,
            "arms": dict(assigned.arms),
        }
        items = policy.published.items
        of_trials = trials.recorded(policy.experiments, assigned, made, teams, items, seconds)
        page = recorded(of_page, made, ask.item_id) | facts | of_trials | {"pushed_at": question.catalogue[0]}
        page |= listed(listing)
        at = round(of_page.now * 1000)
        exposure = Exposure(impression_id, question.user, ask.after, at, orjson.dumps(page), assigned.fresh)
        # Nobody waits for the disk to see a page; one that could not be recorded is counted.
        recording = asyncio.create_task(self.live.record(exposure))
        self._shown.remember(impression_id, [card["item_id"] for row in made.rows for card in row.cards])
        self._recording.add(recording)
        recording.add_done_callback(self._recording.discard)
        recording.add_done_callback(self._metrics.recorded)
        has_history = bool(policy.published.known(ask.who()).seen)
        party = self.known.trials.served(policy.experiments, assigned, question.user, made, page, has_history)
        self._metrics.served(page, self._groups(made, of_page, items), seconds, party)
        self._whys.ahead.served(exposure, page["rows"][0]["items"] if made.rows else ())
        self._metrics.ruled(made.set_aside, made.unmet)
        token = self._impressions.token(impression_id, question.user)
        return {**facts, "token": token, "session_id": ask.session_id, "rows": [vars(row) for row in made.rows]}
