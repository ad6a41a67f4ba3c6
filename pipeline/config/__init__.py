"""The configuration of a run: defaults in each component's Config, then a YAML file, then `--set a.b=c`."""

from homefeed.pipeline.config.errors import ConfigError
from homefeed.pipeline.config.load import load_config, load_fields

__all__ = ["ConfigError", "load_config", "load_fields"]
