"""Segment's `track`, with the names of its specification for e-commerce and video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homefeed.serving.gateway.dialect import Dialect, Own, Unreadable, digest, identifier, part, place, unix_seconds

TYPES = {
    "order completed": "purchase",
    "product added": "add_to_cart",
    "product clicked": "click",
    "product viewed": "view",
    "products searched": "search",
    "video playback started": "play",
}
"""Names that Segment specifies → types of ours; any other name is a type as it is, in small letters with `_`."""


def translate(said: Mapping[str, Any]) -> Own:
    """A `track` call; who is not logged in is the `anonymousId`.

    Raises:
        Unreadable: it is another call than `track`, or a field has no meaning here.
    """
    if said.get("type", "track") != "track":
        raise Unreadable("type", "only `track` is an event")
    name, properties = said.get("event"), part(said, "properties")
    if "products" in properties:
        raise Unreadable("properties.products", "send an event for each product, with `product_id`")
    user = said.get("userId") or None
    known = {"product_id": "item_id", "price": "value", "query": "query", "position": "position", "token": "token"}
    own = {ours: properties.get(theirs) for theirs, ours in known.items()}
    return {
        **own,
        "event_id": said.get("messageId") or digest(said),
        "user_id": identifier(user),
        "session_id": None if user else identifier(said.get("anonymousId") or None),
        "type": _type(name) if isinstance(name, str) else name,
        "item_id": identifier(own["item_id"]),
        "position": place(own["position"]),
        "at": unix_seconds("timestamp", said.get("timestamp") or said.get("originalTimestamp")),
    }


def _type(name: str) -> str:
    lowered = name.strip().lower()
    return TYPES.get(lowered, "_".join(lowered.split()))


SEGMENT = Dialect(
    translate,
    {
        "event_id": "messageId",
        "user_id": "userId",
        "session_id": "anonymousId",
        "type": "event",
        "at": "timestamp",
        "item_id": "properties.product_id",
        "value": "properties.price",
        "query": "properties.query",
        "position": "properties.position",
        "token": "properties.token",
    },
)
