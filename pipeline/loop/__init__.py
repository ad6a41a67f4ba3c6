"""Keeps models fresh: the gate of new spans, retraining, and new items without training."""
