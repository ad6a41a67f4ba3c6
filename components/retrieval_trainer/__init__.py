"""RetrievalTrainer: two towers that turn a user's recent history into items worth showing."""

from homefeed.components.retrieval_trainer.component import Config, Inputs, Outputs, run

__all__ = ["Config", "Inputs", "Outputs", "run"]
