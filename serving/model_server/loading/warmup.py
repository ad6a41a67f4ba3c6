"""Runs a version's warm-up records before it takes requests, so that the first of them is as quick as the others."""

import pathlib
import struct
import time
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError

from homefeed.serving.model_server.api import inference
from homefeed.serving.model_server.api.predict import predict
from homefeed.serving.model_server.errors import Code, StatusError, invalid_argument
from homefeed.serving.model_server.loading.servable import Servable
from homefeed.serving.model_server.messages import PredictionLog
from homefeed.serving.model_server.metrics import Metrics
from homefeed.serving.model_server.observation import micros_since

RECORDS_FILE = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS = 1000


def warm_up(servable: Servable, metrics: Metrics, num_iterations: int = 1) -> None:
    """Runs every record of the version's warm-up file; without the file, nothing.

    Raises:
        StatusError: a record failed or is of a kind that is not supported, the file is no TFRecord file (DATA_LOSS),
            or it holds too many records. A version that fails here is not served.
    """
    path = servable.path / RECORDS_FILE
    if not path.is_file():
        return
    start = time.monotonic()
    code = Code.INTERNAL
    try:
        for number, record in enumerate(read_records(path)):
            if number >= MAX_RECORDS:
                raise invalid_argument(
                    f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}; keep fewer."
                )
            for _ in range(num_iterations):
                _replay(servable, record)
        code = Code.OK
    except StatusError as error:
        code = error.code
        raise
    finally:
        metrics.model_warmup_latency.observe(micros_since(start), str(servable.path), code.name)


def _replay(servable: Servable, record: bytes) -> None:
    try:
        log = PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid_argument(f"Failed to parse warmup record at {servable.path / RECORDS_FILE}: {error}") from error
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        predict(servable, log.predict_log.request)
    elif kind == "classify_log":
        inference.classify(servable, log.classify_log.request)
    elif kind == "regress_log":
        inference.regress(servable, log.regress_log.request)
    elif kind == "multi_inference_log":
        inference.multi_inference(servable, log.multi_inference_log.request)
    elif kind is not None:
        raise StatusError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")


def read_records(path: pathlib.Path) -> Iterator[bytes]:
    """Reads a TFRecord file: length, its checksum, data, its checksum."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while header := file.read(12):
            if len(header) < 12 or _masked_crc32c(header[:8]) != struct.unpack("<I", header[8:])[0]:
                raise _data_loss(path)
            (length,) = struct.unpack("<Q", header[:8])
            if length > size:
                raise _data_loss(path)
            data, footer = file.read(length), file.read(4)
            if len(data) < length or footer != struct.pack("<I", _masked_crc32c(data)):
                raise _data_loss(path)
            yield data


def _data_loss(path: pathlib.Path) -> StatusError:
    return StatusError(
        Code.DATA_LOSS,
        f"corrupted record at {path}. Please verify your warmup data is in TFRecord format.",
    )


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)  # The Castagnoli polynomial, reflected.
        table.append(byte)
    return table


_CRC_TABLE = _crc_table()


def _masked_crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def write_records(path: pathlib.Path, logs: list[Any]) -> None:
    """Writes PredictionLog messages as a warm-up file."""
    with path.open("wb") as file:
        for log in logs:
            data = log.SerializeToString()
            length = struct.pack("<Q", len(data))
            file.write(length + struct.pack("<I", _masked_crc32c(length)))
            file.write(data + struct.pack("<I", _masked_crc32c(data)))
