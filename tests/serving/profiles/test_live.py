"""Profiles as a function of events: the arithmetic of interests, feedback and its undoing, and the bounds."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.serving.profiles.live import (
    HALF_LIFE_SECONDS,
    MAX_BYTES,
    MAX_HIDDEN,
    MAX_RECENT,
    LiveEvent,
    LiveProfile,
    apply,
)
from tests.serving.profiles.folded import fold

T = 1_700_002_800  # A full hour.
_ids = itertools.count()


def event(kind: str, item: str = "", at: int = T, tags: tuple[str, ...] = (), **more: object) -> LiveEvent:
    return LiveEvent(f"e{next(_ids)}", "u", kind, at, item_id=item, tags=tags, **more)


def test_interests_fade_by_half_in_a_half_life() -> None:
    profile = fold([event("view", "a", T, ("drama",)), event("like", "b", T + HALF_LIFE_SECONDS, ("drama", "war"))])
    # drama: 1 · 2^-1 + 3; war: 3.
    assert profile.tags == {"drama": 3.5, "war": 3.0}
    assert profile.as_of == T + HALF_LIFE_SECONDS


def test_an_event_that_comes_late_counts_as_what_it_is_worth_now() -> None:
    late = fold([event("like", "b", T + HALF_LIFE_SECONDS, ("war",)), event("view", "a", T, ("drama",))])
    assert late.tags == {"war": 3.0, "drama": 0.5}
    assert [recent.item_id for recent in late.recent] == ["a", "b"]


def test_events_keep_their_times_while_the_hours_pass() -> None:
    times = [T + 7, T + 3_600, T - 10, T + 90_000]
    profile = fold([event("like", str(n), at, ("drama",)) for n, at in enumerate(times)])
    stored = LiveProfile.decode(profile.version, profile.encode())
    assert [recent.at for recent in profile.recent] == [recent.at for recent in stored.recent] == sorted(times)
    assert profile.as_of == T + 90_000


def test_not_for_me_hides_the_item_and_speaks_against_its_interests() -> None:
    profile = fold([event("view", "a", tags=("drama",)), event("not_for_me", "b", tags=("drama", "war"))])
    assert profile.hidden == ("b",)
    assert profile.tags == {"drama": -2.0, "war": -3.0}  # 1 - 3; -3.
    assert [recent.item_id for recent in profile.history()] == ["a"]


def test_undo_takes_back_the_last_feedback_with_its_weight() -> None:
    before = fold([event("view", "b", tags=("drama",)), event("view", "a", tags=("drama",))])
    after = fold(
        [event("not_for_me", "b", T + 5, ("drama", "war")), event("undo", "b", T + HALF_LIFE_SECONDS)], before
    )
    assert after.hidden == () and after.history() == list(before.recent)
    # -3 was given at T + 5, so what is left of it then is taken off; both sides have faded alike.
    assert after.tags == {"drama": 2.0}
    assert after.version == 4


def test_undo_of_the_second_hide_leaves_the_first() -> None:
    twice = [event("hide", "a"), event("not_for_me", "a"), event("undo", "a")]
    assert fold(twice).hidden == ("a",)
    assert fold([*twice, event("undo", "a")]).hidden == ()
    assert fold([event("hide", "a"), event("undo", "b")]).hidden == ("a",)


def test_undo_of_a_hide_leaves_the_like_before_it() -> None:
    events = [event("like", "a", T, ("drama",)), event("hide", "a", T + 1, ("war",)), event("undo", "a", T + 1)]
    profile = fold(events)
    assert [recent.type for recent in profile.recent] == ["like"] and profile.hidden == ()
    assert profile.tags.keys() == {"drama"}


def test_a_search_is_an_interest_and_no_history() -> None:
    profile = fold([event("search", tags=("coffee",), query="coffee")])
    assert profile.tags == {"coffee": 1.0} and not profile.recent


def test_settings_and_removed_interests_are_kept_to() -> None:
    profile = fold([event("view", "a", tags=("drama", "war")), event("remove_tag", tag="war")])
    profile = apply(profile, event("settings", settings={"personalised": False}))
    assert profile.tags == {"drama": 1.0} and profile.settings == {"personalised": False}


def test_an_item_hidden_in_the_middle_of_a_history_is_no_part_of_it() -> None:
    profile = fold([event("view", "a"), event("view", "b"), event("hide", "a"), event("view", "c")])
    assert [recent.item_id for recent in profile.history()] == ["b", "c"]


def test_the_newest_events_and_hidden_items_are_kept() -> None:
    profile = fold([event("view", str(n), T + n) for n in range(MAX_RECENT + 3)])
    assert [recent.item_id for recent in profile.recent] == [str(n) for n in range(3, MAX_RECENT + 3)]
    hidden = fold([event("hide", f"i{n}") for n in range(MAX_HIDDEN + 2)]).hidden
    assert hidden == tuple(f"i{n}" for n in range(2, MAX_HIDDEN + 2))


KINDS = st.sampled_from(["view", "like", "purchase", "hide", "not_for_me", "undo", "search", "remove_tag", "播放"])
NAMES = st.sampled_from(["a", "b", "咖啡", "x" * 120, "🙂" * 100])
EVENTS = st.lists(
    st.builds(
        lambda kind, item, at, tags, value: event(
            kind, "" if kind == "search" else item, T + at, tuple(tags), tag=item, value=value
        ),
        KINDS,
        NAMES,
        st.integers(-5_000_000, 5_000_000),
        st.lists(NAMES, max_size=5, unique=True),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
    ),
    max_size=80,
)


@given(EVENTS)
def test_it_makes_no_difference_where_a_profile_was_stored_in_between(events: list[LiveEvent]) -> None:
    stored = LiveProfile()
    for one in events:
        after = apply(stored, one)
        stored = LiveProfile.decode(after.version, after.encode())
        assert stored == after and len(after.encode()) <= MAX_BYTES
    assert stored.encode() == fold(events).encode() and stored.version == len(events)


def test_fifty_events_of_short_names_fit() -> None:
    profile = fold([event("view", f"{n:03}", T + 3_600 * n, (f"genre-{n % 6}", "en")) for n in range(50)])
    # ["042","view",-176400], are 23 bytes: 50 of them leave room for seven interests.
    assert len(profile.recent) == 50 and len(profile.tags) == 7


@pytest.mark.parametrize("length", [1, 128])
def test_long_names_cost_old_events_and_nothing_else(length: int) -> None:
    profile = fold([event("view", f"{n:03}" + "片" * length, T + n) for n in range(60)])
    assert profile.version == 60 and profile.recent[-1].item_id.startswith("059")
    assert len(profile.encode()) <= MAX_BYTES
