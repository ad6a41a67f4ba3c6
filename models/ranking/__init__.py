"""Ranking: ids, features and statistics, beside what the text model makes of texts (Keras 3)."""
