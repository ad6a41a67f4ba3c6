"""The loop closes: page → click → seal → retrain → push → another page, and back from a card to the data."""

from __future__ import annotations

import contextlib
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest

from homefeed.pipeline.datasets.sample import write_sample
from homefeed.pipeline.loop.options import Options
from homefeed.pipeline.loop.retrain import Outcome, retrain
from homefeed.pipeline.runner.lineage import summarize, trace
from homefeed.pipeline.runner.local_runner import Step
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving import process
from homefeed.serving.feedback.seal import seal
from tests.counting import count_instead_of_training
from tests.runs import SMALL
from tests.serving.gateway import toy
from tests.serving.servers import eventually, running_server
from tests.serving.test_releases import parsed

NUM_USERS, DAY = 24, 86_400


def trained(data: pathlib.Path, root: pathlib.Path) -> tuple[Outcome, list[Step]]:
    steps: list[Step] = []

    @contextlib.contextmanager
    def observer(title: str) -> Iterator[Any]:
        yield steps.append

    settings = (*SMALL, "evaluator.base_margin=1.0")
    with pytest.MonkeyPatch.context() as patch:
        count_instead_of_training(patch)
        # Two dozen readers are not the store's shoppers: what they do differs as much as it may.
        return retrain(data, root, Options(drift_margin=1.0), observer=observer, settings=settings), steps


def visit(gateway: toy.Gateway, users: list[str]) -> dict[str, str]:
    """Everybody sees three cards, clicks on the second, and later buys it elsewhere; user → what they clicked."""
    clicked = {}
    for number, user in enumerate(users):
        page = gateway.page(user_id=user, k=3)
        cards = toy.row(page, "for_you")
        at = int(time.time()) - 600 + number
        seen = [
            {"event_id": f"{user}-{item}", "user_id": user, "type": "impression", "item_id": item, "at": at}
            for item in cards
        ]
        click = {"event_id": f"{user}-c", "user_id": user, "type": "click", "item_id": cards[1], "at": at + 1}
        told = [{**event, "token": page["token"]} for event in (*seen, click)]
        buy = {"event_id": f"{user}-b", "user_id": user, "type": "purchase", "item_id": cards[1], "at": at + 2}
        for _ in range(2):  # Whoever sends twice is counted once.
            gateway.send(*told, buy)
        clicked[user] = cards[1]
    return clicked


def test_what_people_do_is_in_the_next_model_and_a_card_leads_back_to_it(tmp_path: pathlib.Path) -> None:
    data, root = tmp_path / "data", tmp_path / "root"
    write_sample(data, num_users=40, num_items=48, num_events=480, live=True)
    assert trained(data, root)[0].version == 1
    users, port = [f"user-{number:04}" for number in range(1, NUM_USERS + 1)], process.free_port()
    with (
        running_server(**parsed(process.server_flags(str(root / "serving"), port))),
        toy.gateway(root, "--budget-ms", "5000", models=f"127.0.0.1:{port}") as gateway,
    ):
        eventually(lambda: gateway.http.get("/v1/ready").json()["models"])
        clicked = visit(gateway, users)
        first = gateway.page(user_id="user-0030", k=3)
        done = seal(root / "serving", data, time.time() + DAY)
        assert (done.span, done.rows["interactions"]) == ("2", 2 * NUM_USERS)
        outcome, steps = trained(data, root)
        assert (outcome.status, outcome.version, outcome.rejected) == ("pushed", 2, {})
        # Of the impressions, those with something taken and something left teach the order.
        (summary,) = (step.summary for step in steps if step.component == "Transform")
        assert f", {NUM_USERS} with something taken and left" in summary, summary
        eventually(lambda: gateway.page(user_id="user-0031", k=3)["model_version"] == 2)
        user = users[0]
        second = gateway.page(user_id=user, k=3)
        assert clicked[user] not in toy.items(second)
        (had,) = (row for row in rows(data, "interactions", "2") if row["event_id"] == f"{user}-b")
        assert had["item_id"] == clicked[user] and had["impression_id"], "bought elsewhere, and owed to the page"
        seal(root / "serving", data, time.time() + 2 * DAY)
    shown = {row["impression_id"]: row["model_version"] for row in rows(data, "exposures", "2")}
    assert shown[first["impression_id"]] == first["model_version"] == 1
    assert shown[had["impression_id"]] == 1
    assert [summarize(trace(RunRoot(root), str(version)))["spans"] for version in (1, 2)] == [["1"], ["1", "2"]]
    assert second["model_version"] == 2


def rows(data: pathlib.Path, table: str, span: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(data / table / f"{span}.parquet").to_pylist()
    return found
