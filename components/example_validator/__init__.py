"""ExampleValidator: a gate that stops the run where the data breaks its schema, or has drifted."""

from homefeed.components.example_validator.component import Config, Inputs, Outputs, config_inputs, run

__all__ = ["Config", "Inputs", "Outputs", "config_inputs", "run"]
