"""Shared by retrieval and ranking: request specs, string tables, copies of weights, training log."""
