import contextlib
import pathlib
from typing import Any

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.config import load_config
from homefeed.pipeline.dag import Dag
from homefeed.pipeline.runner.local_runner import Step, run_pipeline
from tests.pipeline.toys import count_gen, doubler, sum_gate


class NumbersDir(DatasetDir):
    """A folder that is digested whole: it has no dataset.yaml."""

    def digest(self) -> str:
        return super(DatasetDir, self).digest()


def toy_dag(data: pathlib.Path) -> Dag:
    dag = Dag()
    numbers = dag.add(count_gen, dataset=NumbersDir(data))
    total = dag.add(sum_gate, examples=numbers.examples)
    dag.add(doubler, evaluation=total.evaluation)
    return dag


def run_toy(data: pathlib.Path, root: pathlib.Path, *settings: str, **options: Any) -> list[Step]:
    dag = toy_dag(data)
    silent = lambda title: contextlib.nullcontext(lambda step: None)  # noqa: E731
    return run_pipeline(dag, load_config(dag, settings=settings), root, name="toy", observer=silent, **options)
