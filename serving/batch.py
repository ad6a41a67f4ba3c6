"""Recommendations for many users at once, from SavedModels in this process."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

from homefeed.models.requests import Event, Request
from homefeed.schemas.errors import HomefeedError
from homefeed.serving.profiles import ProfileStore
from homefeed.serving.queries import Tokenize
from homefeed.serving.recommender import Recommender


class LineError(HomefeedError, ValueError):
    """A line of the users' file does not say what is wanted."""


def read_requests(
    lines: Iterable[str], profiles: ProfileStore, tokenize: Tokenize = lambda _: ()
) -> Iterator[Request]:
    """One request a line: `{"user_id": …, "history": [item ids, oldest first], "query": …}`; not blank ones.

    A given history replaces the stored one; features always come from the profile.

    Args:
        lines: JSON.
        profiles: what is known of users.
        tokenize: for queries.

    Raises:
        LineError: a line is not of that form.
    """
    for number, line in enumerate(_decoded(lines), start=1):
        if line.strip():
            yield _parse(line, number, profiles, tokenize)


def _decoded(lines: Iterable[str]) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        name = getattr(lines, "name", "the file")
        raise LineError(f"{name} is not UTF-8 text ({error}); save it as UTF-8") from error


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


def _parse(line: str, number: int, profiles: ProfileStore, tokenize: Tokenize) -> Request:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise LineError(f"line {number} is not JSON ({error}): {line[:80]!r}") from error
    if not isinstance(row, dict) or not isinstance(row.get("user_id"), str):
        raise LineError(f'line {number} needs a string "user_id": {line[:80]!r}')
    unknown = sorted(row.keys() - {"user_id", "history", "query"})
    if unknown:
        raise LineError(f"line {number} has unknown keys {unknown}; known are user_id, history, query")
    query = row.get("query") or ""
    if not isinstance(query, str):
        raise LineError(f'line {number}: "query" should be a text, got {query!r:.80}')
    profile = dataclasses.replace(profiles.get(row["user_id"]), query_token_ids=tokenize(query))
    history = row.get("history")
    if history is None:
        return profile
    if not isinstance(history, list) or not all(isinstance(item_id, str) for item_id in history):
        raise LineError(f'line {number}: "history" should be a list of item ids (strings), got {history!r:.80}')
    return dataclasses.replace(profile, history=[Event(item_id) for item_id in history])
