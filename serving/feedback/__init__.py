"""Feedback becomes training data: what was shown, seen and acted on, joined, sealed into spans, exported."""
