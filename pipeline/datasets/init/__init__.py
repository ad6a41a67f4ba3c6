"""`dataset.yaml` of files that nobody has described yet: which is which table, and what their columns hold."""

from homefeed.pipeline.datasets.init.describe import Described, describe

__all__ = ["Described", "describe"]
