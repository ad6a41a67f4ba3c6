"""Who may ask: nobody from outside without a key, and a key for what its scopes say."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from homefeed.serving.gateway.auth import AccessError, Keys, is_loopback, read_keys, require_safe
from tests.serving.gateway import toy
from tests.serving.servers import eventually

KEYS = """
shop: {key: shop-0123456789abcdef, scopes: [page, events]}
watch: {key: watch-0123456789abcdef, scopes: [admin]}
"""


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
        ("shop: {key: secret-secret-secret, scopes: [pages]}", "unknown scopes pages; there are page, events, admin"),
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


def test_a_key_is_good_for_its_scopes(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    (tmp_path / "keys.yaml").write_text(KEYS)
    with toy.gateway(tmp_path, "--api-keys", str(tmp_path / "keys.yaml")) as gateway:

        def status(path: str, key: str, method: str = "GET") -> int:
            headers = {"authorization": f"Bearer {key}"} if key else {}
            body = {"events": [{}]} if method == "POST" else None
            answer = gateway.http.request(method, path, json=body, headers=headers)
            assert "0123456789abcdef" not in answer.text
            return answer.status_code

        shop, watch = "shop-0123456789abcdef", "watch-0123456789abcdef"
        paths = ("/v1/page", "/v1/profile", "/metrics")
        assert [status(path, "") for path in paths] == [401, 401, 401]
        assert [status(path, "shop") for path in paths] == [401, 401, 401]
        assert [status(path, shop) for path in paths] == [200, 200, 403]
        assert [status(path, watch) for path in paths] == [403, 403, 200]
        assert [status("/v1/events", key, "POST") for key in ("", shop, watch)] == [401, 200, 403]
        assert status("/v1/profile?user_id=u", watch, "DELETE") == 403
        assert [status(path, "") for path in ("/v1/health", "/v1/ready")] == [200, 200]


def test_metrics_tell_rungs_and_events(home: toy.Gateway) -> None:
    home.did("metrics-1", "measured", "view", "i20")
    eventually(lambda: home.page(user_id="measured")["served_by"] == "fused")  # Not while the machine is busy.
    text = home.http.get("/metrics").text
    for line in ('homefeed_page_seconds_count{served_by="fused"}', 'homefeed_events_total{status="accepted"}'):
        assert line in text
    assert "measured" not in text
