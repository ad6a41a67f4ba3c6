"""Transform: from raw ids and text to vocabularies, catalogue, histories and token ids."""

from homefeed.components.transform.component import Config, Inputs, Outputs, run

__all__ = ["Config", "Inputs", "Outputs", "run"]
