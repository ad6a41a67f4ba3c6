"""Metrics of lists, and the baselines that every model is measured against."""
