"""Ranking: a BERT that reads behaviour text, beside ids, features and statistics (Keras 3)."""
