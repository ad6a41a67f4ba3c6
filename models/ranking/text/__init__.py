"""BERT: backbones, and their readings of users and of items."""
