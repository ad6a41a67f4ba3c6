"""Vertex AI: the requests that run the pipeline and serve its models, and how they are sent."""
