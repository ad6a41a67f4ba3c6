"""Whether what was just pushed works."""

from __future__ import annotations

import itertools
import pathlib
import subprocess

from homefeed.components.artifacts.types import PushedModel
from homefeed.serving.predictors import LocalPredictor
from homefeed.serving.profiles import FILE_NAME, ProfileStore
from homefeed.serving.recommender import FUSED, Recommender

NUM_CHECKED = 20


def reasons_against(pushed: PushedModel, serving_dir: str, command: str) -> list[str]:
    """From asking it as it lies there, and from the user's own command, which may be empty."""
    profiles = ProfileStore(pathlib.Path(serving_dir) / FILE_NAME)
    users = [profiles.get(user_id) for user_id in itertools.islice(profiles.user_ids(), NUM_CHECKED)]
    recommender = Recommender(LocalPredictor({FUSED: pushed.models()[FUSED]}))
    reasons = []
    for request, page in zip(users, recommender.recommend(users), strict=True):
        had = {event.item_id for event in request.history}
        if not page or had & {place.item_id for place in page} or not all(p.score == p.score for p in page):
            reasons.append(f"user {request.user_id!r} gets no usable list from {pushed.models()}")
    return reasons or (_run(command) if command else [])


def _run(command: str) -> list[str]:
    tried = subprocess.run(command, shell=True, capture_output=True, text=True)  # The user's own.
    if not tried.returncode:
        return []
    said = (tried.stderr or tried.stdout).strip()[-500:]
    return [f"`{command}` exited {tried.returncode}" + (f": {said}" if said else "")]
