"""Titles that changed under the same ids, and limits that nothing can reach."""

import pathlib

import numpy as np
import pytest

from homefeed.components.drift.compare import compare, run_drift
from homefeed.components.drift.findings import Finding
from homefeed.schemas.dataset import DatasetError
from tests.components.drift.days import day, summary
from tests.components.ingested import write_dataset


def shop(folder: pathlib.Path, titles: list[str], first: int = 0) -> pathlib.Path:
    """400 events of 60 users with 20 items of these titles, from `i{first}` on."""
    rng = np.random.default_rng(len(titles[0]))
    rows = [f"u{rng.integers(60)},i{first + rng.integers(20)},{1_700_000_000 + 600 * n}" for n in range(400)]
    items = "".join(f"i{first + n},{title}\n" for n, title in enumerate(titles))
    users = "user_id\n" + "".join(f"u{n}\n" for n in range(60))
    return write_dataset(folder, "user_id,item_id,timestamp\n" + "\n".join(rows), "item_id,title\n" + items, users)


FILMS = [f"Film{n} word{n}" for n in range(20)]


def changes(before: pathlib.Path, after: pathlib.Path) -> tuple[list[Finding], list[str]]:
    found = [f for f in run_drift(before, after).findings if f.feature == "items.title"]
    return [f for f in found if f.measure == "changed_share"], [
        f.verdict for f in found if f.measure == "unseen_share"
    ]


def test_titles_in_another_language(tmp_path: pathlib.Path) -> None:
    spanish = [f"Cinta{n} voz{n}" for n in range(20)]
    (found,), verdict = changes(shop(tmp_path / "a", FILMS), shop(tmp_path / "b", spanish))
    assert (found.value, found.threshold, found.drifted) == (1.0, 0.1, True)
    assert found.detail == "20 of 20 that both have, as of i0, i1, i10"
    assert verdict == ["too few values"]  # Of words that are there once each, every one was new before, too.


@pytest.mark.parametrize(("num_changed", "drifted"), [(2, False), (3, True)])
def test_some_titles_may_be_edited(tmp_path: pathlib.Path, num_changed: int, drifted: bool) -> None:
    edited = [f"{title} (new)" if n < num_changed else title for n, title in enumerate(FILMS)]
    (found,), _ = changes(shop(tmp_path / "a", FILMS), shop(tmp_path / "b", edited))
    assert (found.value, found.drifted) == (num_changed / 20, drifted)


def test_new_items_have_no_changed_titles(tmp_path: pathlib.Path) -> None:
    found, _ = changes(shop(tmp_path / "a", FILMS), shop(tmp_path / "b", FILMS, first=20))
    assert found == []


@pytest.mark.parametrize("limit", [1.0, 1.5, float("nan")])
def test_a_limit_that_nothing_can_reach_is_an_error(limit: float) -> None:
    sides = summary(day(1)), summary(day(2))
    message = rf"The limits interactions.value:missing_rate={limit:g} can never be exceeded"
    with pytest.raises(DatasetError, match=message):
        compare(*sides, {"interactions.value:missing_rate": limit})
    with pytest.raises(DatasetError, match=r"interactions.event_type:l_infinity=.* can never be exceeded"):
        compare(*sides, comparators={"interactions.event_type:l_infinity": limit})
    compare(*sides, {"interactions.value:missing_rate": 0.999})
