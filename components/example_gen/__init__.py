"""ExampleGen: from the user's three tables to train, eval and test Examples, batch-wise on Beam."""

from homefeed.components.example_gen.component import Config, Inputs, Outputs, run

__all__ = ["Config", "Inputs", "Outputs", "run"]
