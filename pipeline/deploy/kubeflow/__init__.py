"""Kubeflow Pipelines: the Dag as a package, and how it is run."""
