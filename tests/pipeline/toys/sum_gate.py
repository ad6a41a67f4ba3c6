import dataclasses
import os
import signal

from homefeed.components.artifacts.types import Examples, ModelBlessing, ModelEvaluation


@dataclasses.dataclass(frozen=True)
class Inputs:
    examples: Examples


@dataclasses.dataclass(frozen=True)
class Outputs:
    evaluation: ModelEvaluation
    blessing: ModelBlessing


@dataclasses.dataclass(frozen=True)
class Config:
    limit: int = 100
    fail: bool = False


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    total = sum(inputs.examples.read_json("numbers.json"))
    outputs.evaluation.write_json("metrics.json", {"total": total})
    if os.environ.get("TOY_DIES"):
        os.kill(os.getpid(), signal.SIGKILL)
    if config.fail:
        raise RuntimeError("the toy was told to fail")
    outputs.blessing.write_reasons([f"{total} is above {config.limit}"] if total > config.limit else [])
    return f"total {total}"
