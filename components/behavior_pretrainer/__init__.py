"""BehaviorPretrainer: a BERT that has read what people did, by masked-language modelling on behaviour text."""

from homefeed.components.behavior_pretrainer.component import Config, Inputs, Outputs, run

__all__ = ["Config", "Inputs", "Outputs", "run"]
