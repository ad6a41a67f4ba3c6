"""BehaviorPretrainer: a BERT that knows what people pick, by fine-tuning on which texts follow which."""

from homefeed.components.behavior_pretrainer.component import Config, Inputs, Outputs, run

__all__ = ["Config", "Inputs", "Outputs", "run"]
