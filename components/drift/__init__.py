"""Drift and skew: what is compared, how it is summarised, where it is read from, and its page."""
