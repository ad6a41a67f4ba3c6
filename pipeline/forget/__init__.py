"""Forgets a person: their rows, Examples, profile and whatever names them, below the data folder and the root."""

from homefeed.pipeline.forget.erasure import Forgotten, forget

__all__ = ["Forgotten", "forget"]
