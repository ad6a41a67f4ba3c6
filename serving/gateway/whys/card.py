"""A card of a page that was served, with what the page and its list were made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import orjson

from homefeed.models.requests import Request
from homefeed.serving.gateway.ladder import LAST_PAGE
from homefeed.serving.gateway.making import Draft, asked
from homefeed.serving.gateway.policies import Policy
from homefeed.serving.gateway.replay import draft_of, on_surface, surface_of
from homefeed.serving.policy.errors import NotFound
from homefeed.serving.profiles import Exposure, Store
from homefeed.serving.profiles.exposure import items_of
from homefeed.serving.queries import Tokenize
from homefeed.serving.releases.server_config import STABLE


@dataclasses.dataclass(frozen=True)
class Card:
    """A card of a page that was served.

    Attributes:
        page: as it is recorded.
        row: its row, as it is recorded.
        place: in the row, from 0.
        draft: what the page was made of.
        request: what models were told for its list: of an earlier page, where that is shown again.
    """

    page: Mapping[str, Any]
    row: Mapping[str, Any]
    place: int
    draft: Draft
    request: Request

    @property
    def item_id(self) -> str:
        """The item that it shows."""
        return str(self.row["items"][self.place])

    @property
    def found_by(self) -> str:
        """Where it comes from."""
        return str(self.row["found_by"][self.place])

    @property
    def model(self) -> str:
        """The model that found it, if one did: of a list that is shown again, the one that made it."""
        again = self.page.get("again")
        return str(again["found_by"]) if again and self.found_by == LAST_PAGE else self.found_by

    @property
    def label(self) -> str:
        """Of that model."""
        return str(self.page.get("teams", {}).get(self.item_id) or self.page.get("label", STABLE))

    @property
    def is_as_recorded(self) -> bool:
        """Whether the models would be told what they were told then."""
        told = self.page.get("again") or self.page
        return bool(told.get("asked") == asked(self.request))


async def read_card(
    live: Store,
    exposure: Exposure,
    item_id: str,
    policy: Policy,
    tokenize: Tokenize | None,
) -> Card:
    """The card of an item.

    Args:
        live: where pages and events are.
        exposure: the page.
        item_id: of the card.
        policy: rules and surfaces in force, with profiles and catalogue.
        tokenize: text → token ids; None: no model reads text.

    Raises:
        NotFound: the page has no such card, or what it was made of is no longer there.
    """
    page = orjson.loads(exposure.page)
    rows = [row for row in page["rows"] if item_id in row["items"]]
    if not rows:
        raise NotFound("item_id: it was not on this page")
    draft, request = await _again(live, exposure, policy, tokenize)
    return Card(page, rows[0], rows[0]["items"].index(item_id), draft, request)


async def draft_again(live: Store, exposure: Exposure, policy: Policy, tokenize: Tokenize | None) -> Draft:
    """What a page was made of, on its surface as it is under a policy; arguments and errors as of `read_card`."""
    return (await _again(live, exposure, policy, tokenize))[0]


async def _again(live: Store, exposure: Exposure, policy: Policy, tokenize: Tokenize | None) -> tuple[Draft, Request]:
    """The draft of a page, and what models were told for its list."""
    page, user = orjson.loads(exposure.page), exposure.user_id
    before = await live.scrolled(exposure.after, user)
    shown = {item for one in before for item in items_of(one)}
    kept = await live.events(user), await live.base(user)
    drafted = draft_of(policy.published, exposure, page, *kept, shown)
    if drafted is None or page["surface"] not in policy.surfaces.by_name:
        raise NotFound("impression_id: what this page was made of is no longer kept")
    draft = on_surface(drafted[0], surface_of(policy, page), drafted[1])
    tokens = tokenize(page["query"]) if tokenize and page["query"] else ()

    def asked_for(request: Request) -> Request:
        return dataclasses.replace(request, query_token_ids=tokens, objective=draft.surface.objective)

    told = asked_for(draft.reader.request)
    draft = dataclasses.replace(draft, reader=dataclasses.replace(draft.reader, request=told))
    if again := page.get("again"):
        earlier = exposure._replace(at=again["at"])
        of_list = draft_of(
            policy.published, earlier, page | {"profile_version": again["profile_version"]}, *kept, shown
        )
        told = asked_for(of_list[0].reader.request) if of_list else told
    return draft, told
