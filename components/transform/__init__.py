"""Transform: raw ids and text to what models work on — vocabularies, the catalogue, histories, token ids."""

from homefeed.components.transform.component import Config, Inputs, Outputs, run

__all__ = ["Config", "Inputs", "Outputs", "run"]
