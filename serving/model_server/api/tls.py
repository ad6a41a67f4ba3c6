"""TLS and mutual TLS for the gRPC port."""

import grpc

from homefeed.serving.model_server.config import read_text_proto
from homefeed.serving.model_server.errors import invalid_argument
from homefeed.serving.model_server.messages import SSLConfig


def server_credentials(ssl_config_file: str) -> grpc.ServerCredentials:
    """Reads an SSLConfig in text format; its fields hold PEM text.

    Raises:
        StatusError: INVALID_ARGUMENT, the file cannot be read or key and certificate are not both there.
    """
    config = read_text_proto(ssl_config_file, SSLConfig)
    if not config.server_key or not config.server_cert:
        raise invalid_argument(f"{ssl_config_file} must hold PEM text in both server_key and server_cert.")
    if config.client_verify and not config.custom_ca:
        raise invalid_argument(f"{ssl_config_file} asks for client_verify; then custom_ca must say who is trusted.")
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )
