"""RankingTrainer: orders what retrieval found, by texts, ids, features and ratings."""

from homefeed.components.ranking_trainer.component import Config, Inputs, Outputs, run

__all__ = ["Config", "Inputs", "Outputs", "run"]
