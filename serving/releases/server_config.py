"""The files that model servers read beside the models: which versions under which labels, and how to batch."""

import pathlib
from collections.abc import Mapping

CONFIG_FILE = "model.config"
MOUNTED_FILE = "mounted.config"
MODELS_DIR = "/models"  # Where containers see what was pushed, unless told otherwise.
BATCHING_FILE = "batching.config"
STABLE, CANARY = "stable", "canary"

# Histories and candidate lists differ in length from request to request, and every signature knows padding.
BATCHING = """max_batch_size { value: 64 }
batch_timeout_micros { value: 0 }
max_enqueued_batches { value: 100 }
pad_variable_length_inputs: true
"""


def model_config(base_paths: Mapping[str, str | pathlib.Path], labels: Mapping[str, int] | None = None) -> str:
    """A ModelServerConfig in text format.

    Args:
        base_paths: model name → folder that holds the versions.
        labels: label → version, of every model. With labels the two newest versions are served, else the newest.
    """
    from google.protobuf import text_format

    from homefeed.serving.model_server.messages import ModelServerConfig

    config = ModelServerConfig()
    for name, base_path in base_paths.items():
        entry = config.model_config_list.config.add(name=name, base_path=str(base_path), model_platform="tensorflow")
        if labels:
            entry.model_version_policy.latest.num_versions = 2
            for label, version in labels.items():
                entry.version_labels[label] = version
    return str(text_format.MessageToString(config))
