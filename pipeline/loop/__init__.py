"""Retraining: the gate of new spans, the loop, and index refresh without training."""
