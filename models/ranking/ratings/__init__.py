"""Ratings: factors of items and users, their fit, and a user's taste inside the graph."""
