"""BehaviorPretrainer: masked-language modelling of a BERT on behaviour text."""

from homefeed.components.behavior_pretrainer.component import Config, Inputs, Outputs, run

__all__ = ["Config", "Inputs", "Outputs", "run"]
