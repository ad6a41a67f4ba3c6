"""homefeed: an end-to-end recommender. The one name that other people's programs import."""
