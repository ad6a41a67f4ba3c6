"""Deployment: Kubeflow Pipelines, Vertex AI, and the package for Beam's workers."""
