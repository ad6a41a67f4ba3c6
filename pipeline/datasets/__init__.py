"""Data to try homefeed on: each module writes the three tables and `dataset.yaml` into a folder."""
