"""Two-tower retrieval: a sequence query tower, a candidate tower that knows items by what they are, an index."""
