"""Experiments on the home page: who gets which arm, and what came of it."""
