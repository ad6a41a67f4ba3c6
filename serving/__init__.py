"""Serving: the model server, its client, and what stands around them."""
