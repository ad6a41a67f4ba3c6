"""What is said when no answer comes: the cause, at every deadline."""

import asyncio
import concurrent.futures
import contextlib
import http.server
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from homefeed_client import (
    AsyncPredictionClient,
    DeadlineExceededError,
    PredictionClient,
    ServerError,
    ServerUnavailableError,
)
from homefeed_client.channel import CHANNEL_OPTIONS, is_direct, join_targets
from homefeed_client.home_page import HomePageClient, HomePageError

from tests.serving.conftest import Models
from tests.serving.model_server.test_grpc_extras import Authority, pem
from tests.serving.servers import free_port, running_server

Place = Callable[[contextlib.ExitStack], tuple[str, grpc.ChannelCredentials | None]]


def refused(_: contextlib.ExitStack) -> Any:
    return f"127.0.0.1:{free_port()}", None


def silent(stack: contextlib.ExitStack) -> Any:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return f"127.0.0.1:{listener.getsockname()[1]}", None


def rest(stack: contextlib.ExitStack) -> Any:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever).start()
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return f"127.0.0.1:{server.server_port}", None


def unknown_host(_: contextlib.ExitStack) -> Any:
    return "no-such-host.invalid:8500", None


def grpc_port(stack: contextlib.ExitStack, credentials: grpc.ServerCredentials | None = None) -> int:
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    stack.callback(lambda: server.stop(0).wait())
    return int(port)


def tls_port(stack: contextlib.ExitStack, authority: Authority) -> int:
    key, certificate = authority.issue("server")
    return grpc_port(stack, grpc.ssl_server_credentials([(key.encode(), certificate.encode())]))


def trusting(authority: Authority) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(pem(authority.certificate).encode())


def plain_text_to_tls(stack: contextlib.ExitStack) -> Any:
    return f"127.0.0.1:{tls_port(stack, Authority())}", None


def tls_to_plain_text(stack: contextlib.ExitStack) -> Any:
    return f"127.0.0.1:{grpc_port(stack)}", grpc.ssl_channel_credentials()


def stranger_to_tls(stack: contextlib.ExitStack) -> Any:
    return f"127.0.0.1:{tls_port(stack, Authority())}", trusting(Authority())


def other_name_to_tls(stack: contextlib.ExitStack) -> Any:
    authority = Authority()  # It signs for `localhost` and 127.0.0.1.
    return f"0.0.0.0:{tls_port(stack, authority)}", trusting(authority)


def dead_proxy(stack: contextlib.ExitStack) -> Any:
    proxy = f"http://127.0.0.1:{free_port()}"
    stack.enter_context(pytest.MonkeyPatch.context()).setenv("http_proxy", proxy)
    return "models.example:8500", None


def refusing_proxy(stack: contextlib.ExitStack) -> Any:
    proxy, _ = rest(stack)
    stack.enter_context(pytest.MonkeyPatch.context()).setenv("http_proxy", f"http://{proxy}")
    return "models.example:8500", None


CAUSES = {
    refused: "nothing listens there",
    silent: "accepts connections there and says nothing|not even a health check is answered",
    rest: "no gRPC port: perhaps that of REST",
    unknown_host: "no such host name",
    plain_text_to_tls: "it speaks TLS and the client lacks",
    tls_to_plain_text: "the server speaks plain text, the client TLS",
    stranger_to_tls: "the client does not trust the certificate",
    other_name_to_tls: "the certificate is for another host name",
    dead_proxy: "Connection refused.*`http_proxy=http://127.0.0.1:\\d+` is used unless `no_proxy` names the server",
    refusing_proxy: "the proxy does not let us through.*`http_proxy=http://",
}


@pytest.mark.parametrize("seconds", [0.05, 1.0])
@pytest.mark.parametrize("place", CAUSES, ids=lambda place: place.__name__)
def test_the_cause_is_named_at_every_deadline(place: Place, seconds: float) -> None:
    with contextlib.ExitStack() as stack:
        target, credentials = place(stack)
        client = stack.enter_context(PredictionClient(target, timeout_seconds=seconds, credentials=credentials))
        began = time.monotonic()
        with pytest.raises((ServerUnavailableError, DeadlineExceededError), match=CAUSES[place]) as raised:
            client.status("half")
        assert time.monotonic() - began < seconds + 1
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("place", CAUSES, ids=lambda place: place.__name__)
def test_the_cause_is_named_to_asyncio_too(place: Place) -> None:
    async def call(target: str, credentials: grpc.ChannelCredentials | None) -> None:
        async with AsyncPredictionClient(target, timeout_seconds=0.3, credentials=credentials) as client:
            await client.status("half")

    with (
        contextlib.ExitStack() as stack,
        pytest.raises((ServerUnavailableError, DeadlineExceededError), match=CAUSES[place]),
    ):
        asyncio.run(call(*place(stack)))


def test_a_wait_in_vain_says_what_it_waited_for() -> None:
    with contextlib.ExitStack() as stack:
        client = PredictionClient(refused(stack)[0], timeout_seconds=20)
        with pytest.raises(ServerUnavailableError, match="nothing listens there"):
            client.wait_until_available("half", timeout_seconds=0.3)
        client.close()


def test_a_server_that_is_there_and_slow_is_told_from_one_that_is_not(models: Models, tmp_path: pathlib.Path) -> None:
    models.publish("half_plus_two", tmp_path / "half", 1)
    with (
        running_server(model_name="half", model_base_path=str(tmp_path / "half")) as server,
        PredictionClient(f"127.0.0.1:{server.grpc_port}", timeout_seconds=20) as client,
        pytest.raises(DeadlineExceededError, match=r"no answer within 0.\d+ seconds; the server is there"),
    ):
        client.metadata("half")
        client.predict("half", {"limit": 10**12}, signature="count", timeout_seconds=0.5)


def test_trying_again_ends_when_most_calls_fail() -> None:
    """1,000 tokens, one less with each failure, no second try below 500: the 101st call of five tries has none."""
    service_config = dict(CHANNEL_OPTIONS)["grpc.service_config"]
    assert '"retryThrottling": {"maxTokens": 1000' in service_config
    with contextlib.ExitStack() as stack:
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[Overloaded()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        stack.callback(lambda: server.stop(0).wait())
        quick = service_config.replace('"0.1s"', '"0.01s"').replace('"3s"', '"0.02s"')
        options = [("grpc.service_config", quick)]
        client = stack.enter_context(PredictionClient(f"127.0.0.1:{port}", timeout_seconds=20, options=options))
        Overloaded.tries = 0
        for _ in range(200):
            with pytest.raises(ServerUnavailableError, match="no room"):
                client.status("half")
        # 500 failures as first and further tries, and then one a call; without the bound it were 1,000.
        assert 500 + 90 < Overloaded.tries < 500 + 110


class Overloaded(grpc.GenericRpcHandler):
    """Has no room for any call, and counts them."""

    tries = 0

    def service(self, _: grpc.HandlerCallDetails) -> Any:
        def refuse(_: bytes, context: grpc.ServicerContext) -> bytes:
            Overloaded.tries += 1
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no room")
            return b""

        return grpc.unary_unary_rpc_method_handler(refuse)


@pytest.fixture
def environment_with_a_dead_proxy(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    return dict(os.environ)


@pytest.mark.usefixtures("environment_with_a_dead_proxy")
@pytest.mark.parametrize("target", ["127.0.0.1:{}", "localhost:{}", "ipv4:127.0.0.1:{}", "dns:///127.0.0.1:{}"])
def test_this_machine_is_reached_without_the_proxy(target: str, models: Models, tmp_path: pathlib.Path) -> None:
    models.publish("half_plus_two", tmp_path / "half", 1)
    with running_server(model_name="half", model_base_path=str(tmp_path / "half")) as server:
        address = target.format(server.grpc_port)

        async def status() -> str:
            async with AsyncPredictionClient([f"localhost:{server.grpc_port}"] * 2, timeout_seconds=10) as client:
                return (await client.status("half"))[0].state

        with PredictionClient(address, timeout_seconds=10) as client:
            assert client.wait_until_available("half", timeout_seconds=5) == 1
        assert asyncio.run(status()) == "AVAILABLE"


@pytest.mark.usefixtures("environment_with_a_dead_proxy")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_gateway_of_this_machine_is_reached_without_the_proxy(host: str) -> None:
    """Python's own server has no such page: its 404 is an answer all the same."""
    with contextlib.ExitStack() as stack:
        port = rest(stack)[0].rpartition(":")[2]
        home = stack.enter_context(HomePageClient(f"http://{host}:{port}", timeout_seconds=2))
        with pytest.raises(HomePageError, match=r"^404 from"):
            home.page(user_id="u")
    with (
        HomePageClient("http://gateway.example:8080", timeout_seconds=0.3) as home,
        pytest.raises(HomePageError, match=r"no answer from .*refused"),
    ):
        home.page(user_id="u")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("127.0.0.1:8500", True), ("127.8.9.1:8500", True), ("localhost:8500", True), ("LOCALHOST:http", True),
        ("[::1]:8500", True), ("ipv6:[::1]:8500", True), ("0.0.0.0:8500", True), ("dns:localhost:1", True),
        ("dns:///localhost:1", True), ("dns://8.8.8.8/localhost:1", True), ("unix:/run/socket", True),
        ("ipv4:10.0.0.1:1,10.0.0.2:1", True), ("localhost", True),
        ("10.0.0.1:8500", False), ("models.example:8500", False), ("localhost.example:8500", False),
        ("dns:///models:8500", False), ("unixbox:8500", False),
        ("unix-abstract:name", True), ("[2001:db8::1]:8500", False), ("ipv4:10.0.0.1:1", False), ("xds:///a", False),
    ],
)  # fmt: skip
def test_what_is_reached_without_a_proxy(target: str, expected: bool) -> None:
    assert is_direct(target) is expected


def test_of_several_servers_the_one_without_an_address_is_named() -> None:
    with pytest.raises(OSError, match=r"the host of `no-such-host.invalid:8500`: "):
        join_targets(["127.0.0.1:8500", "no-such-host.invalid:8500"])


@pytest.fixture
def down() -> Iterator[str]:
    yield f"127.0.0.1:{free_port()}"


def test_recommend_tells_a_server_that_is_down_within_seconds(down: str) -> None:
    command = [sys.executable, "-c", "from homefeed.pipeline.cli.main import main; main()"]
    arguments = ["recommend", "--server", down, "--user", "u", "--wait", "0.5"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "nothing listens there" in " ".join(done.stderr.split()) and "Traceback" not in done.stderr


def test_every_error_has_one_base() -> None:
    assert issubclass(ServerUnavailableError, ServerError) and issubclass(DeadlineExceededError, ServerError)
