"""User Behavior Insights 1.3: what searchers' browsers send to OpenSearch, Solr and Elasticsearch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homefeed.serving.gateway.dialect import Dialect, Own, Unreadable, digest, identifier, part, place, unix_seconds

MAX_QUERY = 500  # UBI knows no limit: what is longer is cut.


def translate(said: Mapping[str, Any]) -> Own:
    """An event, or a query (it has no `action_name`); who is not logged in is the session, else the client.

    Raises:
        Unreadable: a field has no meaning here.
    """
    user = said.get("user_id") or None
    guest = said.get("session_id") or said.get("client_id") or None
    query = said.get("user_query")
    own = {
        "event_id": said.get("event_id") or digest(said),
        "user_id": identifier(user),
        "session_id": None if user else identifier(guest),
        "at": unix_seconds("timestamp", said.get("timestamp")),
        "query": query[:MAX_QUERY] if isinstance(query, str) else query,
        "impression_id": said.get("query_id"),
    }
    if "action_name" not in said:
        if not query:
            raise Unreadable("action_name", "an event has `action_name`, a query `user_query`: there is neither")
        return {**own, "type": "search"}
    attributes = ("event_attributes",)
    return {
        **own,
        "type": said["action_name"],
        "item_id": identifier(part(said, *attributes, "object").get("object_id")),
        "position": place(part(said, *attributes, "position").get("ordinal")),
        "token": part(said, *attributes).get("token"),
    }


UBI = Dialect(
    translate,
    {
        "type": "action_name",
        "at": "timestamp",
        "query": "user_query",
        "impression_id": "query_id",
        "item_id": "event_attributes.object.object_id",
        "position": "event_attributes.position.ordinal",
        "token": "event_attributes.token",
    },
)
