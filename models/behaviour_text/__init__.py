"""Behaviour text: one way to turn a user's features and events, and an item, into WordPiece token ids."""

from homefeed.models.behaviour_text.templates import item_text, user_text
from homefeed.models.behaviour_text.wordpiece import SPECIAL_TOKENS, learn_vocabulary, tokenize

__all__ = ["SPECIAL_TOKENS", "item_text", "learn_vocabulary", "tokenize", "user_text"]
