"""StatisticsGen: TFDV's statistics of every split of every table."""

from homefeed.components.statistics_gen.component import Config, Inputs, Outputs, run

__all__ = ["Config", "Inputs", "Outputs", "run"]
