"""TLS and mutual TLS, for gRPC and REST alike."""

import os
import ssl
import tempfile
from typing import Any

import grpc

from homefeed.serving.model_server.config import read_text_proto
from homefeed.serving.model_server.errors import invalid_argument
from homefeed.serving.model_server.messages import SSLConfig


def grpc_credentials(ssl_config_file: str) -> grpc.ServerCredentials:
    """Reads an SSLConfig in text format; its fields hold PEM text.

    Raises:
        StatusError: INVALID_ARGUMENT, the file cannot be read or key and certificate are not both there.
    """
    config = _read(ssl_config_file)
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def http_context(ssl_config_file: str) -> ssl.SSLContext:
    """The same for HTTPS.

    Raises:
        StatusError: INVALID_ARGUMENT, as above, or key and certificate do not fit together.
    """
    config = _read(ssl_config_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # OpenSSL reads them from a file only.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(f"{config.server_key}\n{config.server_cert}\n")
            file.flush()
            context.load_cert_chain(file.name)
        if config.custom_ca:
            context.load_verify_locations(cadata=config.custom_ca)
    except ssl.SSLError as error:
        raise invalid_argument(f"{ssl_config_file} holds PEM text that OpenSSL refuses: {error}") from error
    context.verify_mode = ssl.CERT_REQUIRED if config.client_verify else ssl.CERT_NONE
    return context


def _read(ssl_config_file: str) -> Any:
    config = read_text_proto(ssl_config_file, SSLConfig)
    if not config.server_key or not config.server_cert:
        raise invalid_argument(f"{ssl_config_file} must hold PEM text in both server_key and server_cert.")
    if config.client_verify and not config.custom_ca:
        raise invalid_argument(f"{ssl_config_file} asks for client_verify; then custom_ca must say who is trusted.")
    return config
