"""What is known of a card, in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from homefeed.serving.gateway.items import searched
from homefeed.serving.gateway.policies import Policy
from homefeed.serving.gateway.whys.card import Card
from homefeed.serving.gateway.whys.trial import Tried
from homefeed.serving.web.texts import LANGUAGES
from homefeed.serving.why.evidence import Evidence, reasons_of
from homefeed.serving.why.words import counterfactual, sentence

NUM_POPULAR = 100  # Further down, nobody would call an item popular.


def evidence_of(card: Card, policy: Policy, tried: Tried | None) -> Evidence:
    """What is known of a card.

    Rules are told only where those in force are those that the page was made under.
    """
    page, draft, item_id, request = card.page, card.draft, card.item_id, card.request
    items = policy.published.items
    pins: dict[str, Sequence[str]] = {}
    boosts: dict[str, float] = {}
    if page["rules_version"] == policy.version and item_id in items.cards:
        in_force = policy.ruling.counting(request.features, draft.now, draft.surface.rules, page["set_aside"])
        bits = policy.ruling.bits(item_id, draft.now)
        pins = {one.name: one.rule.pin for one in in_force.rules if one.rule.pin}
        boosts = {one.name: one.rule.by or 1.0 for one in in_force.rules if one.rule.boost and bits & one.bit}
    hottest = page.get("hottest", {})
    lists = {name: hottest.get(name, ()) for name in ("hot", "trending")} | {"friends": draft.found.friends}
    propensities = card.row.get("propensities", ())
    available = items.cards.get(item_id, {}).get("available_from")
    return Evidence(
        item_id,
        card.found_by,
        [event.item_id for event in request.history],
        tried.effects if tried else {},
        tried.strengths if tried else {},
        (page["similar"][0], page["similar"][1]) if page["similar"] else None,
        page["query"],
        sorted(searched(page["query"]) & searched(policy.title(item_id))),
        {tag: weight for tag in items.segments(item_id) if (weight := draft.reader.taste.get(tag, 0.0)) > 0},
        lists | {"popular": items.popular[:NUM_POPULAR], "editors": items.picks},
        available,
        pins,
        boosts,
        propensities[card.place] if propensities else 1.0,
        page["arms"],
        (draft.found.more_of, items.shared(draft.found.more_of, item_id)) if draft.found.more_of else None,
    )


def told(card: Card, tried: Tried | None, evidence: Evidence, policy: Policy) -> dict[str, Any]:
    """The answer, as docs/why.md has it; titles are those that may be told."""
    title = policy.title
    reasons = [
        dataclasses.asdict(reason)
        | {"text": {language: sentence(reason, evidence, title, language) for language in LANGUAGES}}
        for reason in reasons_of(evidence)
    ]
    instead = None
    if tried and tried.items:
        titles = [title(item_id) for item_id in tried.items]
        text = {language: counterfactual(titles, title(tried.instead), language) for language in LANGUAGES}
        instead = {"without": tried.items, "item_id": tried.instead, "text": text}
    return {
        "impression_id": card.page["impression_id"],
        "item_id": card.item_id,
        "title": title(card.item_id),
        "row": card.row["id"],
        "found_by": card.found_by,
        "is_as_recorded": card.is_as_recorded,
        "is_measured": tried is not None,
        "model_version": card.page["model_version"],
        "answered_by": tried.model_version if tried else None,
        "reasons": reasons,
        "instead": instead,
    }
