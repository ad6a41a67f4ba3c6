"""Composes the components: the DAG, its configuration, the runners and the command line."""
