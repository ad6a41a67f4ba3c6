import pathlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks import loop
from homefeed.pipeline.datasets.sample import write_weeks
from homefeed.serving.predictors import Tensors


def row(week: int, served: int, fresh: float, frozen: float, verdict: str = "pushed") -> dict[str, object]:
    gain = {"gain": fresh - frozen, "low": fresh - frozen - 0.01, "high": fresh - frozen + 0.01, "questions": 9}
    figures = {"fresh": fresh, "frozen": frozen} | gain
    reasons = ["bad ids"] if verdict.startswith("stopped") else []
    facts = {
        "week": week,
        "span": f"w{week}",
        "verdict": verdict,
        "reasons": reasons,
        "served": served,
        "seconds": 2.0,
    }
    return facts | {"all": figures, "old_users": figures, "old_items": figures}


ROWS = [
    row(2, 1, 0.2, 0.2),
    row(3, 2, 0.25, 0.2),
    row(4, 3, 0.205, 0.2),
    row(5, 3, 0.15, 0.2, "stopped: span w5"),
]


def test_figures_by_hand() -> None:
    figures = loop.summarize(ROWS)
    assert (figures["weeks"], figures["weeks_compared"], figures["seconds"]) == (5, 3, 8)
    assert (figures["weeks_better"], figures["weeks_better_beyond_chance"]) == (2, 1)
    assert (figures["poisoned_delivered"], figures["poisoned_stopped"]) == (1, 1)
    # Week 5 lost 0.04 to 0.06 of 0.2, and 5% are 0.01; the others gained.
    assert figures["old_users.weeks_within_margin"] == figures["old_items.weeks_within_margin"] == 2
    assert figures["gain.least"] == pytest.approx(-0.25) and figures["gain.mean"] == pytest.approx(0.0083, abs=1e-4)


def test_a_poisoned_week_that_was_served_counts_against_us() -> None:
    assert loop.summarize([*ROWS[:3], row(5, 4, 0.3, 0.2)])["poisoned_stopped"] == 0


def test_the_page_names_every_week_and_why_one_was_stopped() -> None:
    page = loop.to_markdown(ROWS, loop.summarize(ROWS))
    assert "| 3 | pushed | 2 | 0.2500 | 0.2000 | +0.0500 (+0.0400 to +0.0600) |" in page
    assert "Week 5 was stopped: bad ids" in page


def test_questions_are_the_weeks_events_with_what_came_before(tmp_path: pathlib.Path) -> None:
    spans = write_weeks(tmp_path, num_weeks=4, num_users=30, num_items=40, num_events=700)
    asked = loop.make_questions(tmp_path, spans, 3)
    log = loop.read_log(tmp_path, spans[3:])
    assert sorted(asked.targets) == sorted(event["item_id"].encode() for event in log)
    before = {event["item_id"] for event in loop.read_log(tmp_path, spans[:2])}
    for request, target, old in zip(asked.requests, asked.targets, asked.of_old_item, strict=True):
        assert target.decode() not in [event.item_id for event in request.history]
        assert all(event.timestamp <= request.timestamp for event in request.history)
        assert (target.decode() in before) == old
    assert 0 < asked.of_old_item.mean() < 1
    assert 0 < asked.of_old_user.mean() <= 1


class Shelf:
    """Retrieves the same items for everybody."""

    items = np.array([b"new", b"old-1", b"newer", b"old-2"], object)

    def predict(self, model: str, signature: str, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        assert int(inputs["k"].max()) == loop.MAX_ITEMS
        scores = np.array([[4.0, 3.0, 2.0, 1.0]], np.float32)
        return {"item_ids": self.items[None], "titles": self.items[None], "scores": scores}


def test_old_items_are_compared_among_themselves() -> None:
    among = loop.Among(Shelf(), frozenset({b"old-1", b"old-2"}))
    found = among.predict("retrieval", "retrieve", {"k": np.array([3], np.int32)})
    assert found["item_ids"].tolist() == [[b"old-1", b"old-2", b""]]
    assert found["scores"][0, :2].tolist() == [3.0, 1.0]
    assert found["scores"][0, 2] < -1e30
