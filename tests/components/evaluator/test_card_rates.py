import dataclasses

import numpy as np
import pytest

from homefeed.components.evaluator.card_rates import describe_rates, first_events, to_html, to_markdown
from homefeed.models.exposures import Exposures
from homefeed.serving.experiments.groups import NEW_SECONDS
from tests.toy_data import toy_catalogue, toy_sequences

NOW = 50_000_000
# Three of a known reader's cards, two of a newcomer's, one of a guest's, of which nothing is known.
SHOWN = Exposures(
    user_ids=np.array([b"known", b"comer", b"guest"], object),
    timestamp=np.array([NOW, NOW, NOW]),
    row_splits=np.array([0, 3, 5, 6]),
    item_index=np.array([1, 2, 3, 4, 1, 0], np.int32),
    position=np.arange(1, 7, dtype=np.int32),
    propensity=np.ones(6, np.float32),
    clicked=np.array([1, 0, 0, 0, 0, 0], bool),
    outcomes={
        "acted": np.array([1, 1, 0, 0, 0, 1], bool),
        "liked": np.array([1, 0, 0, 0, 0, 0], bool),
        "hidden": np.zeros(6, bool),
        "bought": np.array([1, 1, 0, 0, 0, 0], bool),
    },
)
FIRST = {b"known": NOW - 1, b"comer": NOW}  # What happens in the second of a page is not known at the page.
ALWAYS = np.iinfo(np.int64).min
CATALOGUE = dataclasses.replace(
    toy_catalogue(),
    available_from=np.array([ALWAYS, NOW - NEW_SECONDS, NOW - NEW_SECONDS - 1, ALWAYS, NOW, *[ALWAYS] * 3]),
    categorical={"language": np.array([0, 2, 2, 3, 1, 0, 0, 0], np.int32)[:, None]},
    vocabularies={"language": ("en", "zh")},
)


def test_rates_of_all_and_of_each_group_by_users() -> None:
    found = describe_rates(SHOWN, CATALOGUE, FIRST)
    assert found is not None
    sizes = {name: (group["cards"], group["readers"]) for name, group in found.items()}
    assert sizes == {
        "all": (6, 3),
        "newcomers": (3, 2),
        "known readers": (3, 1),
        "new items": (3, 2),  # Rows 1, 4 and 1.
        "older items": (1, 1),
        "undated items": (2, 2),  # Row 3, and what is not in the catalogue.
        "in en": (3, 2),
        "in zh": (1, 1),
    }
    assert found["all"]["click_rate"] == [0.5, 0, 1]
    assert found["all"]["like_rate"][0] == pytest.approx(1 / 6)
    assert found["all"]["hide_rate"] is None
    # One of three readers bought, however many cards.
    assert found["all"]["conversion"][0] == pytest.approx(1 / 3)
    assert found["newcomers"]["click_rate"][0] == pytest.approx(1 / 3)
    assert found["newcomers"]["conversion"] == [0, None, None]  # That nobody did is not sure to remain so.
    assert found["in en"]["click_rate"][0] == pytest.approx(2 / 3)
    assert found["known readers"]["click_rate"] == [pytest.approx(2 / 3), None, None]  # One reader has no interval.


def test_a_table_that_says_what_was_clicked_says_no_more() -> None:
    alone = dataclasses.replace(SHOWN, outcomes={})
    plain = dataclasses.replace(toy_catalogue(), categorical={}, vocabularies={})
    found = describe_rates(alone, plain, {})
    assert found is not None and found.keys() == {"all", "newcomers"}
    assert found["all"]["click_rate"][0] == pytest.approx(1 / 6)
    assert [found["all"][rate] for rate in ("like_rate", "hide_rate", "conversion")] == [None] * 3


def test_where_nothing_was_shown_nothing_is_said() -> None:
    assert describe_rates(None, CATALOGUE, FIRST) is None
    assert describe_rates(SHOWN[np.array([], np.int64)], CATALOGUE, FIRST) is None
    assert to_html({"eval": None}) == to_markdown({"eval": None}) == ""


def test_people_read_the_same() -> None:
    found = {"eval": None, "test": describe_rates(SHOWN, CATALOGUE, FIRST)}
    assert "| test | known readers | 3 | 1 | 0.6667 |" in to_markdown(found)
    assert "<td>newcomers<td>3<td>2<td>0.3333 (0.0000 to 1.0000)" in to_html(found)


def test_intervals_are_by_users() -> None:
    # Of 4 users with 20 cards each 2, 4, 5 and 9 were taken, all the first ones: the mean is 5 of 20.
    clicked = np.concatenate([np.arange(20) < taken for taken in (2, 4, 5, 9)])
    shown = Exposures(
        user_ids=np.array([b"a", b"b", b"c", b"d"], object),
        timestamp=np.zeros(4, np.int64),
        row_splits=np.arange(5) * 20,
        item_index=np.ones(80, np.int32),
        position=np.ones(80, np.int32),
        propensity=np.ones(80, np.float32),
        clicked=clicked,
        outcomes={"bought": clicked & (np.arange(80) < 40)},  # By a and b.
    )
    found = describe_rates(shown, toy_catalogue(), {})
    assert found is not None
    # Off by -3, -1, 0 and 4 cards: s = sqrt(4 x (9 + 1 + 0 + 16) / 3) / 80; Student's t of 3 degrees is 3.18245.
    half = 3.18245 * np.sqrt(4 * 26 / 3) / 80
    assert found["all"]["click_rate"] == pytest.approx([0.25, 0.25 - half, 0.25 + half], abs=1e-5)
    # Of users 1, 1, 0, 0: s = sqrt(4 x 4 x 0.25 / 3) / 4 = 0.2887.
    assert found["all"]["conversion"] == pytest.approx([0.5, 0, 1], abs=1e-5)
    once = describe_rates(
        dataclasses.replace(shown, outcomes={"liked": np.eye(80, dtype=bool)[0]}), toy_catalogue(), {}
    )
    assert once is not None  # 1, 0, 0, 0 of 20 cards: s = sqrt(4 x (0.75² + 3 x 0.25²) / 3) / 80 = 0.0125.
    assert once["all"]["like_rate"] == pytest.approx([1 / 80, 0, 1 / 80 + 3.18245 * 0.0125], abs=1e-5)


def test_the_first_event_of_any_split_counts() -> None:
    # Toy users u0, u1, … begin at 1,000,000, and 3, then 3 + 4 minutes later.
    later = dataclasses.replace(toy_sequences(3), timestamp=toy_sequences(3).timestamp + 9_000)
    found = first_events([toy_sequences(2), later])
    assert found == {b"u0": 1_000_000, b"u1": 1_000_180, b"u2": 1_009_420}
