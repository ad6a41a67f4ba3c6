"""The layers that the ranker is made of (Keras 3)."""
