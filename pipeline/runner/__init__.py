"""Runs a DAG: the local runner, one component by itself, and ML Metadata behind both."""
