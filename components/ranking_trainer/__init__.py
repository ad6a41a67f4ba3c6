"""RankingTrainer: orders what retrieval found, by a BERT that reads the user, and by ids, features and ratings."""

from homefeed.components.ranking_trainer.component import Config, Inputs, Outputs, run

__all__ = ["Config", "Inputs", "Outputs", "run"]
