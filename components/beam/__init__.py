"""Beam: its runners and options as settings, and a pipeline on the one that was chosen."""
