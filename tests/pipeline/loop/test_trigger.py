"""When to retrain: one condition that holds is enough."""

import datetime
from typing import Any

import pytest

from homefeed.pipeline.loop.options import Options
from homefeed.pipeline.loop.spans_gate import Verdict
from homefeed.pipeline.loop.trigger import why_not

TOO_YOUNG = "the last retraining is 3.0 days old"
NOW = datetime.datetime.now(datetime.UTC)
VERDICTS = {
    "1": Verdict("a", 100, [], [], {}),
    "2": Verdict("b", 40, [], ["items.price:jensen_shannon"], {}),  # New, and drifted a little.
    "3": Verdict("c", 0, ["rejected"], ["items.price:jensen_shannon"], {}),  # New, but not good.
    "4": Verdict("d", 5, [], [], {}),  # New.
}


def last(days: float, good: tuple[str, ...] = ("1",)) -> dict[str, Any]:
    return {"finished_at": (NOW - datetime.timedelta(days=days)).isoformat(), "good": list(good)}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, ""),  # Nothing was asked for.
        ({"if_older_than": 2.0}, ""),
        ({"if_older_than": 3.5}, f"{TOO_YOUNG}, of 3.5"),
        ({"min_new_events": 45}, ""),  # 40 + 5; those of a rejected span do not count.
        ({"min_new_events": 46}, "45 new events, of 46"),
        ({"on_drift": True}, ""),
        ({"if_older_than": 9.0, "min_new_events": 99, "on_drift": True}, ""),  # One is enough.
        (
            {"if_older_than": 9.0, "min_new_events": 99},
            "the last retraining is 3.0 days old, of 9; 45 new events, of 99",
        ),
    ],
)
def test_why_not(options: dict[str, Any], why: str) -> None:
    assert why_not(Options(**options), last(days=3), VERDICTS) == why


def test_other_denials_are_a_reason_by_themselves() -> None:
    young = Options(if_older_than=9.0)
    assert why_not(young, last(3), VERDICTS, "2") == why_not(young, last(3) | {"denies": "1"}, VERDICTS, "2") == ""
    assert why_not(young, last(3) | {"denies": "1"}, VERDICTS, "") == ""
    assert TOO_YOUNG in why_not(young, last(3) | {"denies": "1"}, VERDICTS, "1")


def test_drift_of_what_was_learnt_before_is_no_reason() -> None:
    assert why_not(Options(on_drift=True), last(3, good=("1", "2")), VERDICTS) == "no drift in 1 new spans"


def test_before_the_first_retraining_it_is_always_time() -> None:
    assert why_not(Options(if_older_than=9.0), None, VERDICTS) == ""
