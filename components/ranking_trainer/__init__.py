"""RankingTrainer: trains the model that orders retrieval's candidates, by a BERT, ids, features and ratings."""

from homefeed.components.ranking_trainer.component import Config, Inputs, Outputs, run

__all__ = ["Config", "Inputs", "Outputs", "run"]
