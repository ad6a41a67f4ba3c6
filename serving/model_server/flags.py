"""The command line: the flags of `tensorflow_model_server`, with its defaults and its manners."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

USAGE_EXIT_STATUS = 255

_NUM_CPUS = os.cpu_count() or 1


def _flag(default: Any, usage: str) -> Any:
    return dataclasses.field(default=default, metadata={"usage": usage})


@dataclasses.dataclass(frozen=True)
class Flags:
    """What the command line says; each field is a flag of the same name."""

    port: int = _flag(8500, "TCP port of the gRPC API; 0: none.")
    host: str = _flag("0.0.0.0", "Address that gRPC and REST listen on. (homefeed's own flag)")
    grpc_socket_path: str = _flag("", "Unix socket of the gRPC API, beside the TCP port.")
    rest_api_port: int = _flag(0, "TCP port of the REST API; 0: none.")
    rest_api_num_threads: int = _flag(4 * _NUM_CPUS, "Threads that work on REST requests.")
    rest_api_timeout_in_ms: int = _flag(30000, "Time limit of a REST request, in milliseconds.")
    rest_api_enable_cors_support: bool = _flag(False, "Answer REST requests with CORS headers.")
    model_name: str = _flag("default", "Name of the only model; ignored with --model_config_file.")
    model_base_path: str = _flag("", "Absolute folder of the only model's versions.")
    model_config_file: str = _flag("", "ModelServerConfig in text format: many models.")
    model_config_file_poll_wait_seconds: int = _flag(0, "Seconds between two readings of that file; 0: once.")
    file_system_poll_wait_seconds: int = _flag(1, "Seconds between two looks for versions; 0: once, at start.")
    saved_model_tags: str = _flag("serve", "Comma-separated tags of the MetaGraph to load.")
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "Let a label name a version that is not loaded yet, when the label is new or stays."
    )
    num_load_threads: int = _flag(0, "Versions that may load at the same time; 0: one.")
    num_unload_threads: int = _flag(0, "Versions that may unload at the same time; 0: one.")
    max_num_load_retries: int = _flag(5, "Further tries after a load failed.")
    load_retry_interval_micros: int = _flag(60_000_000, "Microseconds between two tries.")
    enable_model_warmup: bool = _flag(True, "Run a version's warm-up records before it is available.")
    num_request_iterations_for_warmup: int = _flag(1, "How often each warm-up record is run.")
    enable_batching: bool = _flag(False, "Run concurrent requests as one batch.")
    batching_parameters_file: str = _flag("", "BatchingParameters in text format.")
    enable_per_model_batching_parameters: bool = _flag(
        False, "Take them from <version>/batching_params.pbtxt; a version without the file is not batched."
    )
    monitoring_config_file: str = _flag("", "MonitoringConfig in text format: Prometheus metrics.")
    ssl_config_file: str = _flag("", "SSLConfig in text format: TLS on the gRPC and REST ports.")
    grpc_channel_arguments: str = _flag("", "Comma-separated key=value arguments of the gRPC server.")
    grpc_max_threads: int = _flag(4 * _NUM_CPUS, "Threads that work on gRPC requests.")
    tensorflow_session_parallelism: int = _flag(0, "Threads inside and between ops of one model; 0: automatic.")
    tensorflow_intra_op_parallelism: int = _flag(0, "Threads inside one op; 0: automatic.")
    tensorflow_inter_op_parallelism: int = _flag(0, "Ops that run at the same time; 0: automatic.")
    enable_grpc_healthcheck_service: bool = _flag(False, "Serve grpc.health.v1.Health.")
    enable_grpc_reflection: bool = _flag(False, "Serve gRPC server reflection. (homefeed's own flag)")
    enable_signature_method_name_check: bool = _flag(False, "Refuse a signature whose method_name is another API's.")
    enable_serialization_as_tensor_content: bool = _flag(False, "Answer with tensor_content, not typed fields.")
    allow_file_system_ops: bool = _flag(
        False, "Load models with ops that are not known to be harmless. (homefeed's own flag)"
    )
    max_message_bytes: int = _flag(16 * 2**20, "Largest request, in bytes, unpacked. (homefeed's own flag)")
    version: bool = _flag(False, "Print the version and exit.")
    # Taken so that no command line of the reference is refused; nothing here has these parts.
    flush_filesystem_caches: bool = _flag(True, "Accepted, without effect.")
    prefer_tflite_model: bool = _flag(False, "Accepted, without effect.")
    enable_profiler: bool = _flag(True, "Accepted, without effect.")
    remove_unused_fields_from_bundle_metagraph: bool = _flag(True, "Accepted, without effect.")
    per_process_gpu_memory_fraction: float = _flag(0.0, "Accepted, without effect.")


class UsageError(Exception):
    """The command line cannot be used; the message is what to print, usage included."""


def usage(program: str) -> str:
    """The help text: one line a flag."""
    lines = [f"usage: {program}", "Flags:"]
    for field in dataclasses.fields(Flags):
        kind = {str: "string", int: "int32", bool: "bool", float: "float"}[type(field.default)]
        lines.append(f"\t--{field.name}={field.default!r:<20}\t{kind}\t{field.metadata['usage']}")
    return "\n".join(lines) + "\n"


def parse(arguments: Sequence[str], program: str = "homefeed-model-server") -> tuple[Flags, list[str]]:
    """Reads `--name=value` arguments.

    Args:
        arguments: the command line without the program's name.
        program: the name that usage shows.

    Returns:
        The flags, and the arguments that are not known: to be reported, not to stop for, as in the reference.

    Raises:
        UsageError: `--help`, or a value that is not of the flag's type.
    """
    kinds = {field.name: type(field.default) for field in dataclasses.fields(Flags)}
    values: dict[str, Any] = {}
    unknown = []
    for argument in arguments:
        name, equals, text = argument.removeprefix("--").partition("=")
        if argument in ("--help", "--helpfull"):
            raise UsageError(usage(program))
        if not argument.startswith("--") or name not in kinds or not (equals or kinds[name] is bool):
            unknown.append(argument)
            continue
        try:
            values[name] = _parse_value(kinds[name], text if equals else "true")
        except ValueError:
            raise UsageError(
                f"Couldn't interpret value {text} for flag {name}: it takes {kinds[name].__name__} values.\n"
                + usage(program)
            ) from None
    return Flags(**values), unknown


def _parse_value(kind: type, text: str) -> Any:
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    return kind(text)
