"""Behaviour text: one way to turn an item, and what somebody searches for, into WordPiece token ids."""

from homefeed.models.behaviour_text.templates import item_text
from homefeed.models.behaviour_text.wordpiece import SPECIAL_TOKENS, learn_vocabulary, tokenize

__all__ = ["SPECIAL_TOKENS", "item_text", "learn_vocabulary", "tokenize"]
