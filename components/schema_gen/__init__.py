"""SchemaGen: a TFMD schema for each table, which later data must keep to."""

from homefeed.components.schema_gen.component import Config, Inputs, Outputs, run

__all__ = ["Config", "Inputs", "Outputs", "run"]
