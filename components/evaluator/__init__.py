"""Evaluator: full-ranking quality of the exported models beside baselines and models in service, and a verdict."""

from homefeed.components.evaluator.component import Config, Inputs, Outputs, config_inputs, run

__all__ = ["Config", "Inputs", "Outputs", "config_inputs", "run"]
