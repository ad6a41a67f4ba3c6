"""SchemaGen: what each table must look like from now on, as a TFMD schema."""

from homefeed.components.schema_gen.component import Config, Inputs, Outputs, run

__all__ = ["Config", "Inputs", "Outputs", "run"]
