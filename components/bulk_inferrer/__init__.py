"""BulkInferrer: recommendations for every user at once, on Beam, with the model that is served."""

from homefeed.components.bulk_inferrer.component import Config, Inputs, Outputs, run

__all__ = ["Config", "Inputs", "Outputs", "run"]
