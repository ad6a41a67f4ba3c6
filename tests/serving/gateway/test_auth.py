"""Who may ask: nobody from outside without a key, and a key for what its scopes say."""

from __future__ import annotations

import asyncio
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from fastapi import Response

from homefeed.serving.gateway.auth import AccessError, Keys, is_loopback, read_keys, require_origins, require_safe
from homefeed.serving.gateway.config import Config
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.middleware import Admission
from tests.serving.gateway import toy
from tests.serving.servers import eventually

KEYS = """
shop: {key: shop-0123456789abcdef, scopes: [page, events]}
watch: {key: watch-0123456789abcdef, scopes: [metrics]}
"""
SHOP, WATCH = "shop-0123456789abcdef", "watch-0123456789abcdef"
SITE = "https://shop.test"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.test"])
def test_an_address_that_others_reach_needs_a_key(host: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(AccessError, match=f"{host} can be reached from outside: name --api-keys FILE"):
        require_safe(host, Keys())
    (tmp_path / "keys.yaml").write_text(KEYS)
    require_safe(host, read_keys(tmp_path / "keys.yaml"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert is_loopback(host)
    require_safe(host, Keys())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no keys"),
        ("- a", "names no keys"),
        ("shop: secret-secret-secret", r"shop should be \{key"),
        ("shop: {key: secret-secret-secret, scopes: all}", "shop should be"),
        (
            "shop: {key: secret-secret-secret, scopes: [pages]}",
            "unknown scopes pages; there are page, events, metrics, ",
        ),
        ("reader: {key: secret-secret-secret, scopes: [page]}", "a key is called 'reader', as others are"),
        ("gateway: {key: secret-secret-secret, scopes: [page]}", "name it otherwise"),
        ("this machine: {key: secret-secret-secret, scopes: [page]}", "name it otherwise"),
        ("shop: {key: short, scopes: [page]}", "has 5 bytes, expected 16 or more"),
        ("a: [", "cannot be read"),
        (
            "shop: {key: secret-secret-secret, scopes: [page], rate: -1}",
            "has the rate '-1'; expected requests",
        ),
        ("shop: {key: secret-secret-secret, scopes: [page], rate: often}", "has the rate 'often'"),
    ],
)
def test_wrong_keys_are_refused_and_never_repeated(text: str, reason: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "keys.yaml").write_text(text)
    with pytest.raises(AccessError, match=reason) as refused:
        read_keys(tmp_path / "keys.yaml")
    assert "secret" not in str(refused.value)


def test_a_public_address_without_a_key_is_wrong_usage(tmp_path: pathlib.Path) -> None:
    (tmp_path / "serving").mkdir()
    program = "from homefeed.pipeline.cli.main import main; main()"
    command = [sys.executable, "-c", program, "gateway", "--root", str(tmp_path), "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "0.0.0.0 can be reached from outside" in done.stderr


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[toy.Gateway]:
    root = tmp_path_factory.mktemp("keyed")
    toy.publish(root / "serving", {})
    (root / "keys.yaml").write_text(KEYS)
    with toy.gateway(root, "--api-keys", str(root / "keys.yaml"), "--allowed-origin", SITE) as gateway:
        yield gateway


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def test_a_key_is_good_for_its_scopes(keyed: toy.Gateway) -> None:
    def status(path: str, key: str, method: str = "GET") -> int:
        body = {"events": [{}]} if method == "POST" else None
        answer = keyed.http.request(method, path, json=body, headers=bearer(key))
        assert "0123456789abcdef" not in answer.text
        return answer.status_code

    paths = ("/v1/page", "/v1/profile", "/metrics")
    assert [status(path, "") for path in paths] == [401, 401, 401]
    assert [status(path, "shop") for path in paths] == [401, 401, 401]
    assert [status(path, SHOP) for path in paths] == [200, 200, 403]
    assert [status(path, WATCH) for path in paths] == [403, 403, 200]
    assert [status("/v1/events", key, "POST") for key in ("", SHOP, WATCH)] == [401, 200, 403]
    assert status("/v1/profile?user_id=u", WATCH, "DELETE") == 403
    assert [status(path, "") for path in ("/v1/health", "/v1/ready")] == [200, 200]


@pytest.mark.parametrize(("path", "found"), [("/v1/page", {401}), ("/", {200, 429})])
def test_a_flood_without_a_key_takes_no_place_of_those_who_have_one(
    path: str, found: set[int], tmp_path: pathlib.Path
) -> None:
    (tmp_path / "keys.yaml").write_text(KEYS)
    # Nobody starts it, so that its pulse does not beat and no place becomes free.
    door = Admission(Response("a page"), Home(Config(tmp_path), Metrics()), read_keys(tmp_path / "keys.yaml"))

    async def ask() -> tuple[list[int], list[int]]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://gateway") as http:
            flooded = [(await http.get(path)).status_code for _ in range(100)]
            return flooded, [(await http.get("/v1/page", headers=bearer(SHOP))).status_code for _ in range(13)]

    flooded, served = asyncio.run(ask())
    assert set(flooded) == found and served[:12] == [200] * 12
    assert (served[12] == 429) == (200 in flooded)  # All places, or the half that is left.


def test_pages_of_an_allowed_site_may_read_answers_and_refusals(keyed: toy.Gateway, home: toy.Gateway) -> None:
    def origin(at: toy.Gateway, site: str, key: str, method: str = "GET", **more: str) -> tuple[int, str | None]:
        answer = at.http.request(method, "/v1/page", headers={"origin": site, **more, **bearer(key)})
        return answer.status_code, answer.headers.get("access-control-allow-origin")

    assert origin(keyed, SITE, SHOP) == (200, SITE) and origin(keyed, SITE, "") == (401, SITE)
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    assert origin(keyed, SITE, "", "OPTIONS", **asks) == (200, SITE)
    assert origin(keyed, "https://other.test", SHOP) == (200, None)
    assert origin(keyed, "https://other.test", "", "OPTIONS", **asks) == (400, None)
    assert origin(home, SITE, "") == (200, None)  # None is allowed unless it is named.


@pytest.mark.parametrize(
    "site", ["*", "https://shop.test/", "shop.test", "https://a b", "null", "https://shop.test:x"]
)
def test_what_is_no_origin_is_refused(site: str) -> None:
    with pytest.raises(AccessError, match="is no origin: expected https://HOST or https://HOST:PORT"):
        require_origins(["https://shop.test", "http://localhost:3000", site])


def test_metrics_tell_rungs_and_events(home: toy.Gateway) -> None:
    home.did("metrics-1", "measured", "view", "i20")
    eventually(lambda: home.page(user_id="measured")["served_by"] == "fused")  # Not while the machine is busy.
    text = home.http.get("/metrics").text
    for line in (
        'homefeed_page_seconds_count{served_by="fused"}',
        'homefeed_events_total{status="accepted"}',
        "homefeed_event_lag_seconds_count",
    ):
        assert line in text
    assert "measured" not in text
