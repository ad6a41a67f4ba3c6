import dataclasses

from homefeed.components.artifacts.types import DatasetDir, Examples


@dataclasses.dataclass(frozen=True)
class Inputs:
    dataset: DatasetDir


@dataclasses.dataclass(frozen=True)
class Outputs:
    examples: Examples


@dataclasses.dataclass(frozen=True)
class Config:
    factor: int = 1


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    numbers = [int(line) for line in (inputs.dataset.path / "numbers.txt").read_text().split()]
    outputs.examples.write_json("numbers.json", [config.factor * number for number in numbers])
    return f"{len(numbers)} numbers"
