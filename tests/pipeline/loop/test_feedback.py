"""The loop closes: page → click → seal → retrain → push → another page, and back from a card to the data."""

from __future__ import annotations

import json
import pathlib
import shlex
import time
from typing import Any

import pyarrow.parquet as pq
import pytest

from homefeed.pipeline.runner.lineage import summarize, trace
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving import process
from tests import documents
from tests.counting import count_instead_of_training
from tests.pipeline.command import homefeed
from tests.runs import SMALL
from tests.serving.gateway import toy
from tests.serving.servers import eventually, running_server
from tests.serving.test_releases import parsed

NUM_USERS, DAY = 24, 86_400


GUIDE = [
    line
    for block in documents.blocks("sh")
    if block.page.name == "feedback.md"
    for line in documents.commands(block)
    if "--log" not in line and line.startswith("homefeed ")  # A broker is started by the tests of the log.
]
MORE = {
    "data sample": ["--users", "40", "--items", "48", "--events", "480"],
    "retrain": [word for setting in (*SMALL, "evaluator.base_margin=1.0") for word in ("--set", setting)],
    "feedback seal": ["--at", str(int(time.time()) + DAY)],  # By then the pages have waited long enough.
}
"""What a line of the guide is given besides, so that it is small enough for a test."""


def follow(line: str, folder: pathlib.Path) -> None:
    """A line of the guide, in a folder."""
    _, *words = shlex.split(line)
    more = next((more for verb, more in MORE.items() if " ".join(words).startswith(verb)), [])
    places = {"data": str(folder / "data"), "root": str(folder / "root"), "cards.json": str(folder / "cards.json")}
    words = [words[0], *(places.get(word, word) for word in words[1:])]
    with pytest.MonkeyPatch.context() as patch:
        count_instead_of_training(patch)
        assert homefeed(*words, *more) == 0, line


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


def test_the_guide_leads_from_a_click_to_the_next_page_and_back_from_a_card(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, root = tmp_path / "data", tmp_path / "root"
    sample, first_models, serve, gateway_line, *later = GUIDE
    assert "homefeed serve" in serve and "homefeed gateway" in gateway_line
    follow(sample, tmp_path)
    follow(first_models, tmp_path)
    users, port = [f"user-{number:04}" for number in range(1, NUM_USERS + 1)], process.free_port()
    with (
        running_server(**parsed(process.server_flags(str(root / "serving"), port))),
        toy.gateway(root, "--budget-ms", "5000", models=f"127.0.0.1:{port}") as gateway,
    ):
        eventually(lambda: gateway.http.get("/v1/ready").json()["models"])
        clicked = visit(gateway, users)
        first = gateway.page(user_id="user-0030", k=3)
        capsys.readouterr()
        for line in later:
            follow(line, tmp_path)
        said = capsys.readouterr().out
        unseen = len(toy.items(first))  # Of a page of which nobody told, all cards.
        assert f"span 2: {3 * NUM_USERS + unseen} exposures, {3 * NUM_USERS} feedback" in said
        assert f", {2 * NUM_USERS} interactions" in said
        # Of the impressions, those with something taken and something left teach the order.
        assert f", {NUM_USERS} with something taken and left" in said
        eventually(lambda: gateway.page(user_id="user-0031", k=3)["model_version"] == 2)
        second = gateway.page(user_id=users[0], k=3)
    assert clicked[users[0]] not in toy.items(second)
    bought = next(row for row in rows(data, "interactions", "2") if row["event_id"] == f"{users[0]}-b")
    assert bought["item_id"] == clicked[users[0]] and bought["impression_id"], "bought elsewhere, owed to the page"
    shown = {row["impression_id"]: row["model_version"] for row in rows(data, "exposures", "2")}
    assert shown[first["impression_id"]] == shown[bought["impression_id"]] == first["model_version"] == 1
    assert [summarize(trace(RunRoot(root), str(version)))["spans"] for version in (1, 2)] == [["1"], ["1", "2"]]
    assert second["model_version"] == 2
    cards = [json.loads(line) for line in (tmp_path / "cards.json").read_text(encoding="utf-8").splitlines()]
    assert sum(card["_label_cost"] for card in cards) == -NUM_USERS and len(cards) == 3 * NUM_USERS + unseen


def rows(data: pathlib.Path, table: str, span: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(data / table / f"{span}.parquet").to_pylist()
    return found
