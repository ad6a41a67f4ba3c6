"""TLS, mutual TLS, health, reflection, and long error messages."""

import datetime
import ipaddress
import pathlib
from collections.abc import Iterator
from typing import Any

import grpc
import homefeed_client
import pytest

from homefeed.serving.model_server.api.grpc_server import to_grpc_status
from homefeed.serving.model_server.errors import Code, StatusError
from tests.serving.conftest import Models
from tests.serving.servers import RPC_SECONDS, Stubs, column, running_server

x509 = pytest.importorskip("cryptography.x509")


class Authority:
    """A certificate authority made for one test."""

    def __init__(self) -> None:
        self.key, self.name = self._key(), self._name("test authority")
        self.certificate = self._sign(self.name, self.key, is_ca=True)

    def _key(self) -> Any:
        from cryptography.hazmat.primitives.asymmetric import ec

        return ec.generate_private_key(ec.SECP256R1())

    def _name(self, name: str) -> Any:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])

    def _sign(self, subject: Any, key: Any, is_ca: bool) -> Any:
        from cryptography.hazmat.primitives import hashes

        now = datetime.datetime.now(datetime.UTC)
        addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def issue(self, name: str) -> tuple[str, str]:
        """A private key and a certificate, as PEM."""
        from cryptography.hazmat.primitives import serialization

        key = self._key()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return private.decode(), pem(self._sign(self._name(name), key, is_ca=False))


def pem(certificate: Any) -> str:
    from cryptography.hazmat.primitives import serialization

    return str(certificate.public_bytes(serialization.Encoding.PEM).decode())


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def ssl_config(path: pathlib.Path, **fields: Any) -> str:
    def quote(value: Any) -> str:
        return str(value).lower() if isinstance(value, bool) else '"' + value.replace("\n", "\\n") + '"'

    path.write_text("\n".join(f"{name}: {quote(value)}" for name, value in fields.items()))
    return str(path)


@pytest.fixture
def base_path(models: Models, tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    models.publish("half_plus_two", tmp_path / "half", 1)
    yield tmp_path / "half"


def test_tls(authority: Authority, base_path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    key, certificate = authority.issue("server")
    config = ssl_config(tmp_path / "ssl.config", server_key=key, server_cert=certificate)
    with running_server(model_name="half", model_base_path=str(base_path), ssl_config_file=config) as server:
        target = f"127.0.0.1:{server.grpc_port}"
        trusted = grpc.ssl_channel_credentials(pem(authority.certificate).encode())
        with homefeed_client.PredictionClient(target, credentials=trusted, timeout_seconds=20) as client:
            assert client.predict("half", {"x": [[2]]}).model_version == 1
        plain = homefeed_client.PredictionClient(target, timeout_seconds=1)
        with pytest.raises((homefeed_client.ServerUnavailableError, homefeed_client.DeadlineExceededError)):
            plain.predict("half", {"x": [[2]]})
        plain.close()


def test_mutual_tls(authority: Authority, base_path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    key, certificate = authority.issue("server")
    trusted = pem(authority.certificate)
    config = ssl_config(
        tmp_path / "ssl.config", server_key=key, server_cert=certificate, custom_ca=trusted, client_verify=True
    )
    with running_server(model_name="half", model_base_path=str(base_path), ssl_config_file=config) as server:
        target = f"127.0.0.1:{server.grpc_port}"
        client_key, client_certificate = authority.issue("client")
        known = grpc.ssl_channel_credentials(trusted.encode(), client_key.encode(), client_certificate.encode())
        with homefeed_client.PredictionClient(target, credentials=known, timeout_seconds=20) as client:
            assert client.predict("half", {"x": [[2]]}).model_version == 1
        unknown = grpc.ssl_channel_credentials(trusted.encode())
        with (
            homefeed_client.PredictionClient(target, credentials=unknown, timeout_seconds=1) as client,
            pytest.raises((homefeed_client.ServerUnavailableError, homefeed_client.DeadlineExceededError)),
        ):
            client.predict("half", {"x": [[2]]})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"server_key": "k"}, "both server_key and server_cert"),
        ({"server_key": "k", "server_cert": "c", "client_verify": True}, "custom_ca"),
    ],
)
def test_an_incomplete_ssl_config_fails_the_start(
    base_path: pathlib.Path, tmp_path: pathlib.Path, fields: dict[str, Any], words: str
) -> None:
    config = ssl_config(tmp_path / "ssl.config", **fields)
    with (
        pytest.raises(StatusError, match=words),
        running_server(model_name="half", model_base_path=str(base_path), ssl_config_file=config),
    ):
        pass


def test_health_and_reflection_only_when_asked_for(base_path: pathlib.Path) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    def services(channel: grpc.Channel) -> set[str]:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = stub.ServerReflectionInfo(iter([asked]), timeout=RPC_SECONDS)
        return {service.name for service in answer.list_services_response.service}

    flags = {"model_name": "half", "model_base_path": str(base_path)}
    with running_server(**flags) as server:
        channel = Stubs(f"127.0.0.1:{server.grpc_port}").channel
        for call in (
            lambda: health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=RPC_SECONDS),
            lambda: services(channel),
        ):
            with pytest.raises(grpc.RpcError) as raised:
                call()
            assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED

    with running_server(**flags, enable_grpc_healthcheck_service=True, enable_grpc_reflection=True) as server:
        channel = Stubs(f"127.0.0.1:{server.grpc_port}").channel
        for name in ("", "ModelService", "PredictionService"):
            request = health_pb2.HealthCheckRequest(service=name)
            assert health_pb2_grpc.HealthStub(channel).Check(request, timeout=RPC_SECONDS).status == 1
        expected = {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"}
        assert expected <= services(channel)
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol="tensorflow.serving.PredictRequest")
        (answer,) = stub.ServerReflectionInfo(iter([asked]), timeout=RPC_SECONDS)
        assert answer.file_descriptor_response.file_descriptor_proto


def test_a_long_error_message_is_cut() -> None:
    code, words = to_grpc_status(StatusError(Code.ABORTED, "x" * 1025))
    assert code is grpc.StatusCode.ABORTED
    assert words == "x" * 1024 + "...TRUNCATED"
    assert to_grpc_status(StatusError(Code.ABORTED, "x" * 1024))[1] == "x" * 1024


def test_messages_larger_than_the_limit_are_refused(base_path: pathlib.Path) -> None:
    flags = {"model_name": "half", "model_base_path": str(base_path), "max_message_bytes": 10_000}
    with running_server(**flags) as server:
        stubs = Stubs(f"127.0.0.1:{server.grpc_port}")
        stubs.predict("half", {"x": column(*range(1000))})
        with pytest.raises(grpc.RpcError) as raised:
            stubs.predict("half", {"x": column(*range(10_000))})
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_outputs_go_to_tensor_content_when_asked_for(base_path: pathlib.Path) -> None:
    flags = {"model_name": "half", "model_base_path": str(base_path), "enable_serialization_as_tensor_content": True}
    with running_server(**flags) as server:
        output = Stubs(f"127.0.0.1:{server.grpc_port}").predict("half", {"x": column(2, 4)}).outputs["y"]
        assert len(output.tensor_content) == 8
        assert not output.float_val
