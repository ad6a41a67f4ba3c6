"""ModelServerConfig: which models to serve, from a text file, from flags or from a request."""

import dataclasses
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from google.protobuf import text_format
from homefeed_client import protos

from homefeed.serving.model_server.errors import invalid_argument
from homefeed.serving.model_server.flags import Flags
from homefeed.serving.model_server.messages import ModelServerConfig


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """One model to serve.

    Attributes:
        base_path: the folder whose numbered subfolders are the versions.
        policy: a ServableVersionPolicy message.
        labels: version by label.
    """

    name: str
    base_path: pathlib.Path
    platform: str
    policy: Any
    labels: Mapping[str, int]


def read_text_proto(path: str, message_class: Any) -> Any:
    """Reads a text-format file.

    Raises:
        StatusError: INVALID_ARGUMENT, it cannot be read or does not parse; then stderr has line and column.
    """
    try:
        text = pathlib.Path(path).read_text()
    except OSError as error:
        raise invalid_argument(f"Could not read '{path}': {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise invalid_argument(f"Invalid protobuf file: '{path}'") from error
    try:
        return text_format.Parse(text, message_class(), descriptor_pool=protos.POOL)
    except text_format.ParseError as error:
        name = message_class.DESCRIPTOR.full_name
        print(f"Error parsing text-format {name}: {error}", file=sys.stderr, flush=True)
        raise invalid_argument(f"Invalid protobuf file: '{path}'") from error


def from_flags(flags: Flags) -> Any:
    """The ModelServerConfig that the command line asks for.

    Raises:
        StatusError: INVALID_ARGUMENT, it names no model or its config file cannot be read.
    """
    if flags.model_config_file:
        return read_text_proto(flags.model_config_file, ModelServerConfig)
    if not flags.model_base_path:
        raise invalid_argument("Both server_options.model_base_path and server_options.model_config_file are empty!")
    config = ModelServerConfig()
    config.model_config_list.config.add(
        name=flags.model_name, base_path=flags.model_base_path, model_platform="tensorflow"
    )
    return config


def parse(config: Any) -> dict[str, ModelConfig]:
    """Checks a ModelServerConfig message.

    Returns:
        The models by name.

    Raises:
        StatusError: INVALID_ARGUMENT, with every fault in the list.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise invalid_argument(
            "The config must hold a model_config_list. Only ModelConfigList is currently supported."
        )
    models: dict[str, ModelConfig] = {}
    faults: list[str] = []
    for entry in config.model_config_list.config:
        faults.extend(_faults(entry, models))
        models[entry.name] = ModelConfig(
            entry.name,
            pathlib.Path(os.path.normpath(entry.base_path)),
            entry.model_platform or _platform_of_type(entry),
            entry.model_version_policy,
            dict(entry.version_labels),
        )
    if faults:
        raise invalid_argument(" ".join(faults))
    return models


def _platform_of_type(entry: Any) -> str:
    """`model_type` is the older way to say the platform."""
    return "tensorflow" if entry.model_type == 1 else ""


def _faults(entry: Any, earlier: Mapping[str, ModelConfig]) -> list[str]:
    faults = []
    if entry.name in earlier:
        faults.append(f"Illegal to list model {entry.name} multiple times in config list.")
    if not entry.name:
        faults.append(f"A model in the config list has no name (base_path: {entry.base_path}).")
    if not entry.base_path.startswith("/"):
        faults.append(
            f"Expected model {entry.name} to have an absolute path or URI; got base_path()={entry.base_path}."
        )
    platform = entry.model_platform or _platform_of_type(entry)
    if platform != "tensorflow":
        faults.append(
            f"Illegal model platform for model {entry.name}: '{platform}'; "
            "only model_platform: 'tensorflow' is served."
        )
    return faults


def check_reload(current: Mapping[str, ModelConfig], new: Mapping[str, ModelConfig]) -> None:
    """Raises INVALID_ARGUMENT when a model that is served now changes its platform."""
    for name, model in new.items():
        if name in current and current[name].platform != model.platform:
            raise invalid_argument(
                f"Illegal attempt to change a model's platform. For model {name}: {current[name].platform} -> "
                f"{model.platform}."
            )
