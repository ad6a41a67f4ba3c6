"""The rungs: without a model server, while it dies and comes back, and after another push."""

from __future__ import annotations

import asyncio
import pathlib
import socket
from typing import Any

import httpx
import pytest
from homefeed_client import AsyncPredictionClient, ServerError

from homefeed.models.requests import Request
from homefeed.pipeline.forget import forget
from homefeed.schemas.privacy import pseudonym
from homefeed.serving import process
from homefeed.serving.gateway.config import Config
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.models import Models, Unavailable
from homefeed.serving.gateway.schema import Ask
from homefeed.serving.profiles import FILE_NAME, write_profiles
from tests.serving.gateway import toy
from tests.serving.gateway.toy import items, row
from tests.serving.servers import eventually, running_server
from tests.serving.test_releases import parsed


def test_without_any_model_server_everybody_gets_what_is_popular_near_their_taste(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    with toy.gateway(tmp_path) as gateway:
        stranger, fan = gateway.page(k=3), gateway.page(user_id="fan", k=3)
        assert stranger["served_by"] == fan["served_by"] == "popular"
        assert row(stranger, "for_you") == ["i25", "i12", "i11"]  # 15, 10 and 5 had them.
        assert row(fan, "for_you") == ["i12", "i11", "i01"]  # Dramas; i10 was seen.
        gateway.did("0", "fan", "view", "i02")
        gateway.did("1", "fan", "hide", "i12")  # Dramas: 1 of the data + 1 - 1.
        assert row(gateway.page(user_id="fan", k=3), "for_you") == ["i11", "i01", "i03"]
        found = gateway.page(user_id="fan", k=3, query="the TITLE i30!")
        assert row(found, "search") == ["i30", "i25", "i11"]  # With both words; then the popular ones with one.
        for n in range(4):
            gateway.did(f"taste-{n}", "fan", "like", f"i{21 + n}")  # Comedies: 4 · 3.
        assert row(gateway.page(user_id="fan", k=2), "for_you") == ["i25", "i11"]


def test_nobody_waits_for_a_model_server_that_hangs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that takes long over the first call of a version."""
    toy.publish(tmp_path, {})

    async def hang(models: Models) -> None:
        await asyncio.Event().wait()

    async def first_page() -> Any:
        home = Home(Config(tmp_path, "127.0.0.1:1"), Metrics())
        await asyncio.wait_for(home.start(), 10)
        try:
            return await home.page(Ask(user_id="fan", k=3))
        finally:
            await home.stop()

    monkeypatch.setattr(Models, "refresh", hang)
    assert asyncio.run(first_page())["served_by"] == "popular"


def test_a_page_waits_no_longer_than_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    async def find_out(client: AsyncPredictionClient, error: Exception, timeout_seconds: float) -> ServerError:
        await asyncio.Event().wait()
        raise AssertionError

    async def ask() -> None:
        models = Models(f"127.0.0.1:{silent.getsockname()[1]}", {"fused": 1, "retrieval": 1})
        with pytest.raises(Unavailable):
            await asyncio.wait_for(models.similar("i1", 3, 0.05), 10)
        await models.close()

    monkeypatch.setattr(AsyncPredictionClient, "_failure", find_out)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(ask())


def test_a_version_has_answered_once_before_pages_ask_it(
    nearest: dict[str, pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.publish(tmp_path, nearest)
    port, asked = process.free_port(), list[tuple[str, set[str]]]()
    predict = AsyncPredictionClient.predict

    async def counted(client: AsyncPredictionClient, model: str, *rest: Any, **options: Any) -> Any:
        asked.append((model, {*options["outputs"]}))
        return await predict(client, model, *rest, **options)

    async def learn() -> int | None:
        models = Models(f"127.0.0.1:{port}", {"fused": 1, "retrieval": 1})
        for _ in range(2):
            await models.refresh()
        for model in ("fused", "retrieval"):
            await models.find(model, Request("u"), 3, 30)
        await models.close()
        return models.version

    monkeypatch.setattr(AsyncPredictionClient, "predict", counted)
    with running_server(**parsed(process.server_flags(str(tmp_path), port))):
        assert asyncio.run(learn()) == 1
    assert asked[:2] == asked[2:] and [model for model, _ in asked[:2]] == ["fused", "retrieval"]


def test_before_the_first_push_there_are_no_items_and_that_is_said(tmp_path: pathlib.Path) -> None:
    (tmp_path / "serving").mkdir()
    with toy.gateway(tmp_path) as gateway:
        ready = gateway.http.get("/v1/ready")
        assert ready.status_code == 503 and ready.json() == {"items": 0, "models": False}
        page = gateway.page(user_id="u")
        assert page["served_by"] == "editors" and page["rows"] == []
        assert gateway.did("1", "u", "view", "i01")["status"] == "accepted"
        toy.publish(tmp_path / "serving", {})
        eventually(lambda: gateway.http.get("/v1/ready").status_code == 200)
        assert row(gateway.page(user_id="u", k=2), "for_you") == ["i25", "i12"]
        assert len(items(gateway.page(user_id="u", k=50))) == 37 and "i01" not in items(
            gateway.page(user_id="u", k=50)
        )


def measured(answer: httpx.Response) -> Any:
    """Reasons, once models answer."""
    told = answer.json() if answer.status_code == 200 else {}
    return told if told.get("is_measured") else None


def test_the_model_server_dies_and_comes_back(tmp_path: pathlib.Path, nearest: dict[str, pathlib.Path]) -> None:
    serving = tmp_path / "serving"
    toy.publish(serving, nearest)
    port = process.free_port()
    with toy.gateway(tmp_path, "--budget-ms", "5000", models=f"127.0.0.1:{port}") as gateway:
        with toy.model_server(serving, port):
            eventually(lambda: gateway.page(user_id="fan")["served_by"] == "fused", 60)
            before = gateway.page(user_id="fan", k=3)
        gateway.did("1", "fan", "view", before["rows"][0]["cards"][0]["item_id"])
        after = gateway.page(user_id="fan", k=3)
        assert after["served_by"] == "last_page" and after["age_ms"] > 0
        assert row(before, "for_you") == ["i09", "i11", "i08"]
        assert row(after, "for_you") == ["i11", "i08", "i12"]  # The same list without what was seen since.
        assert gateway.page(user_id="never-here", k=2)["served_by"] == "popular"
        with toy.model_server(serving, port):
            eventually(lambda: gateway.http.get("/v1/ready").json()["models"], 60)
            eventually(lambda: gateway.page(user_id="fan")["served_by"] == "fused", 3)
            assert row(gateway.page(user_id="fan", k=2), "for_you") == ["i08", "i07"]  # Nearest to i09.
            # The list of the last page was made before i09 was seen, of what was known then.
            path = f"/v1/why/{after['impression_id']}/i11"
            told = eventually(lambda: measured(gateway.http.get(path, params={"user_id": "fan"})), 10)
            assert told["found_by"] == "last_page" and told["is_as_recorded"]
            reasons = [one["subject"] for one in told["reasons"]]
            assert reasons[0] == "i10" and "i09" not in reasons


def test_a_push_is_taken_over_and_live_events_stay(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    with toy.gateway(tmp_path) as gateway:
        gateway.did("1", "fan", "like", "i21")
        gateway.did("2", "fan", "hide", "i25")
        assert "i10" not in items(gateway.page(user_id="fan", k=50))  # The data knows that it was seen.
        known = {i: f"New title of {i}" for i in toy.IDS}
        write_profiles(tmp_path / "serving" / FILE_NAME, [], known, "", toy.cards())
        eventually(lambda: "i10" in items(gateway.page(user_id="fan", k=50)))
        page = gateway.page(user_id="fan", k=50)
        assert page["profile_version"] == 2 and not {"i21", "i25"} & set(items(page))
        assert page["rows"][0]["cards"][0]["title"].startswith("New title")


def test_two_gateways_on_one_root_know_each_other_s_events(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    with toy.gateway(tmp_path) as one, toy.gateway(tmp_path) as two:
        for n, item in enumerate(toy.IDS[:20]):
            here, there = (one, two) if n % 2 else (two, one)
            version = here.did(str(n), "u", "view", item)["version"]
            page = there.page(user_id="u", k=50)
            assert page["profile_version"] == version == n + 1 and item not in items(page)
            assert there.did(str(n), "u", "view", item)["status"] == "duplicate"
        page = one.page(user_id="u", k=3)
        again = two.page(user_id="u", k=3, after=one.page(user_id="u", k=3)["impression_id"])
        assert items(page) and not set(items(page)) & set(items(again))


def test_users_are_stored_by_their_pseudonyms(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER_KEY", "0123456789abcdef")
    toy.publish(tmp_path / "serving", {}, "env:USER_KEY")
    with toy.gateway(tmp_path) as gateway:
        gateway.did("1", "zebra-user", "view", "i01")
        gateway.page(user_id="zebra-user")
        gateway.stop()
    stored = b"".join(path.read_bytes() for path in (tmp_path / "serving").glob("live.sqlite*"))
    assert b"zebra-user" not in stored and pseudonym("zebra-user", b"0123456789abcdef").encode() in stored


def test_who_is_forgotten_elsewhere_gets_no_earlier_list_again(nearest: Any, tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", nearest)
    port = process.free_port()
    with toy.gateway(tmp_path, "--budget-ms", "5000", models=f"127.0.0.1:{port}") as gateway:
        with toy.model_server(tmp_path / "serving", port):
            eventually(lambda: gateway.http.get("/v1/ready").json()["models"])
            gateway.did("1", "zebra-user", "like", "i20")
            assert row(gateway.page(user_id="zebra-user", k=2), "for_you") == ["i19", "i21"]
        assert gateway.page(user_id="zebra-user", k=2, query="")["served_by"] in ("fused", "last_page")
        assert forget("zebra-user", root=tmp_path).traces == []
        page = gateway.page(user_id="zebra-user", k=2)
        assert page["served_by"] == "popular" and page["profile_version"] == 0
        assert row(page, "for_you") == ["i25", "i12"]
