import dataclasses

from homefeed.components.artifacts.types import ModelEvaluation, ModelRun


@dataclasses.dataclass(frozen=True)
class Inputs:
    evaluation: ModelEvaluation


@dataclasses.dataclass(frozen=True)
class Outputs:
    doubled: ModelRun


@dataclasses.dataclass(frozen=True)
class Config:
    pass


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    outputs.doubled.write_json("double.json", 2 * inputs.evaluation.read_json("metrics.json")["total"])
    return "doubled"
