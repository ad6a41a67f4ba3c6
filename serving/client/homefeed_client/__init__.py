"""Clients of model servers and of the home page: gRPC, HTTP and NumPy, and never TensorFlow."""

from homefeed_client.aio import AsyncPredictionClient
from homefeed_client.client import PredictionClient
from homefeed_client.errors import (
    AccessDeniedError,
    DeadlineExceededError,
    InvalidInputsError,
    InvalidRequestError,
    ModelNotFoundError,
    PredictionError,
    ServerError,
    ServerUnavailableError,
    UnsupportedError,
)
from homefeed_client.home_page import AsyncHomePageClient, HomePageClient, HomePageError
from homefeed_client.home_page_grpc import AsyncHomePageGrpcClient, HomePageGrpcClient
from homefeed_client.messages import Prediction, VersionStatus
from homefeed_client.signatures import ModelMetadata, Signature, TensorSpec
from homefeed_client.wordpiece import WordPiece

__all__ = [
    "AccessDeniedError",
    "AsyncHomePageClient",
    "AsyncHomePageGrpcClient",
    "AsyncPredictionClient",
    "DeadlineExceededError",
    "HomePageClient",
    "HomePageError",
    "HomePageGrpcClient",
    "InvalidInputsError",
    "InvalidRequestError",
    "ModelMetadata",
    "ModelNotFoundError",
    "Prediction",
    "PredictionClient",
    "PredictionError",
    "ServerError",
    "ServerUnavailableError",
    "Signature",
    "TensorSpec",
    "UnsupportedError",
    "VersionStatus",
    "WordPiece",
]
