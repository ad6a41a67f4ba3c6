"""Statistics of experiments that hold whenever, and however often, somebody looks."""
