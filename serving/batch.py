"""Recommendations for many users at once, from SavedModels in this process."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

from homefeed.models.requests import Event, Request
from homefeed.schemas import times
from homefeed.schemas.errors import HomefeedError
from homefeed.serving.profiles import ProfileStore
from homefeed.serving.queries import Tokenize
from homefeed.serving.recommender import Recommender


class LineError(HomefeedError, ValueError):
    """A line of the users' file does not say what is wanted."""


def read_requests(
    lines: Iterable[str], profiles: ProfileStore, tokenize: Tokenize = lambda _: (), now: int | None = None
) -> Iterator[Request]:
    """One request a line: `{"user_id": …, "history": [events, oldest first], "query": …}`; not blank ones.

    A given history replaces the stored one; features always come from the profile. An event is an item id or, with
    what is known of it, `{"item_id": …, "value": …, "event_type": …, "timestamp": …}` and declared event features.

    Args:
        lines: JSON.
        profiles: what is known of users.
        tokenize: for queries.
        now: time of the requests, Unix seconds; None: this machine's clock.

    Raises:
        LineError: a line is not of that form.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield _parse(line, profiles, tokenize, now)
            except LineError as error:
                raise LineError(f"line {number} {error}") from error


def recommend_all(
    recommender: Recommender, requests: Iterable[Request], k: int, batch_size: int = 128
) -> Iterator[dict[str, Any]]:
    """`{"user_id", "items", "scores"}` for each request, in order; fewer than k where the catalogue ends."""
    waiting = iter(requests)
    while batch := list(itertools.islice(waiting, batch_size)):
        for request, page in zip(batch, recommender.recommend(batch, k), strict=True):
            yield {
                "user_id": request.user_id,
                "items": [place.item_id for place in page],
                "scores": [place.score for place in page],
            }


def _parse(line: str, profiles: ProfileStore, tokenize: Tokenize, now: int | None) -> Request:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise LineError(f"is not JSON ({error}): {line[:80]!r}") from error
    if not isinstance(row, dict) or not isinstance(row.get("user_id"), str):
        raise LineError(f'needs a string "user_id": {line[:80]!r}')
    if unknown := sorted(row.keys() - {"user_id", "history", "query"}):
        raise LineError(f"has unknown keys {unknown}; known are user_id, history, query")
    query, history = row.get("query") or "", row.get("history")
    if not isinstance(query, str):
        raise LineError(f'has a "query" that is no text: {query!r:.80}')
    profile = dataclasses.replace(profiles.get(row["user_id"], now), query_token_ids=tokenize(query))
    if history is None:
        return profile
    if not isinstance(history, list):
        raise LineError(f'has a "history" that is no list of item ids or events: {history!r:.80}')
    return dataclasses.replace(profile, history=[_event(event) for event in history])


def _event(said: Any) -> Event:
    """An event of a history, as `read_requests` says."""
    if isinstance(said, str):
        return Event(said)
    if not isinstance(said, dict) or not isinstance(said.get("item_id"), str):
        raise LineError(f'has an event in "history" that is neither an item id nor {{"item_id": …}}: {said!r:.80}')
    known = {name: value for name, value in said.items() if value is not None}
    if any(isinstance(value, bool) or not isinstance(value, str | int | float) for value in known.values()):
        raise LineError(f"has an event of which a value is neither text nor a number: {said!r:.120}")
    item_id, event_type, when = known.pop("item_id"), known.pop("event_type", ""), known.pop("timestamp", 0)
    seconds, value = times.moment(str(when)), known.pop("value", float("nan"))
    if seconds is None or isinstance(value, str) or not isinstance(event_type, str):
        raise LineError(
            f"has an event whose timestamp is no time, value no number or event_type no text: {said!r:.120}"
        )
    return Event(item_id, value, event_type, seconds, known)
