"""RetrievalTrainer: trains the two-tower model that finds candidates for a user's history."""

from homefeed.components.retrieval_trainer.component import Config, Inputs, Outputs, is_helper, run

__all__ = ["Config", "Inputs", "Outputs", "is_helper", "run"]
