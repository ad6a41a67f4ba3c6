"""The API for programs: `run`, `load` and `drift`, whose answers are DataFrames."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from homefeed.components.artifacts.types import DatasetDir
from homefeed.components.drift.compare import run_drift
from homefeed.models.requests import Event, Request
from homefeed.pipeline.config import load_config
from homefeed.pipeline.recommender import recommender
from homefeed.pipeline.runner.local_runner import Step, run_pipeline
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas.dataset import load_dataset
from homefeed.serving.profiles import FILE_NAME, ProfileStore
from homefeed.serving.queries import query_tokenizer
from homefeed.serving.recommender import FUSED, RETRIEVAL, Recommendation, Recommender
from homefeed.serving.releases import Releases

Path = str | os.PathLike[str]
PLACES = ["user_id", "place", *(field.name for field in dataclasses.fields(Recommendation))]


def run(
    data: Path, root: Path, settings: Mapping[str, Mapping[str, Any]] | None = None, until: str | None = None
) -> pd.DataFrame:
    """Runs the pipeline, as `homefeed run` does; what is already done is not done again.

    Args:
        data: folder with `dataset.yaml`.
        root: folder of artifacts, metadata and served models; made if missing.
        settings: component → field → value, such as `{"retrieval_trainer": {"epochs": 3}}`.
        until: the last component to run; None: all of them.

    Returns:
        One row a component: `component`, `cached`, `seconds`, `cpu_seconds`, `peak_mebibytes` and `summary`.

    Raises:
        HomefeedError: the data or a setting is wrong, or a gate is closed; its text says how to mend it.
    """
    data_dir, root_dir = pathlib.Path(data).resolve(), pathlib.Path(root).resolve()
    dag = recommender(DatasetDir(data_dir))
    values = {name: dict(fields) for name, fields in (settings or {}).items()}
    for name, fields in RunRoot(root_dir).defaults().items():
        values[name] = fields | values.get(name, {})
    configs = load_config(dag, defaults=values)
    steps = run_pipeline(dag, configs, root_dir, name=load_dataset(data_dir).name, observer=_silent, until=until)
    return pd.DataFrame([vars(step) for step in steps])


def load(root: Path) -> Model:
    """Loads the stable version of what a run pushed into this process.

    Raises:
        RunError: `root` holds no pushed models.
    """
    return Model(RunRoot(pathlib.Path(root).resolve()).pushed())


def drift(
    baseline: Path,
    current: Path,
    schema: Path | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Compares two datasets, as `homefeed drift` does.

    Args:
        baseline: data folder (`DIR@SPANS` for some spans), Examples, TFDV's statistics or a log of requests.
        current: the same.
        schema: schema file or folder whose drift comparators set thresholds.
        thresholds: `table.column:distance` → limit; they win over the schema's.

    Returns:
        One row a distance that was judged: where, which, its value, its threshold and whether it `drifted`.
    """
    found = run_drift(str(baseline), str(current), pathlib.Path(schema) if schema else None, dict(thresholds or {}))
    return pd.DataFrame(found.to_json()["findings"])


class Model:
    """Pushed models in this process, with the profiles and the vocabulary that were pushed beside them.

    Args:
        serving_dir: where the models were pushed, `ROOT/serving`.
    """

    def __init__(self, serving_dir: pathlib.Path):
        releases = Releases(serving_dir)
        stable = releases.stable()
        self._recommender = Recommender.of_saved_model(pathlib.Path(releases.path(FUSED, stable)))
        self._tokenize = query_tokenizer(pathlib.Path(releases.path(RETRIEVAL, stable)))
        self._profiles = ProfileStore(serving_dir / FILE_NAME)

    def recommend(
        self,
        users: str | Sequence[str],
        k: int = 10,
        history: Sequence[str | Event] | None = None,
        query: str = "",
        now: int | None = None,
        context: Mapping[str, str | float] | None = None,
        objective: str = "",
    ) -> pd.DataFrame:
        """The best items for one or several users, from their profiles; an unknown user is served too.

        Args:
            users: a user id, or several.
            k: places a user.
            history: what these users did, oldest first, as item ids or Events; None: what their profiles say.
            query: text to search for.
            now: time of the request, Unix seconds; None: this machine's clock. Items whose `available_from` lies
                later are not shown.
            context: declared context feature → value, such as the device that asks.
            objective: what lists are sorted for, of those that the models know; "": their own.

        Returns:
            One row a place: `user_id`, `place` (from 1), `item_id`, `title`, `score`, `probability`, `source`
            (what the list was made from); fewer than k rows of a user where the catalogue ends.
        """
        ids = [users] if isinstance(users, str) else list(users)
        seconds = int(time.time()) if now is None else now
        asked = [self._request(user_id, history, query, seconds) for user_id in ids]
        beside: dict[str, Any] = {"context": context or {}, "objective": objective}
        requests = [dataclasses.replace(request, **beside) for request in asked]
        pages = self._recommender.recommend(requests, k)
        rows = [
            (user_id, place, *dataclasses.astuple(shown))
            for user_id, page in zip(ids, pages, strict=True)
            for place, shown in enumerate(page, start=1)
        ]
        return pd.DataFrame(rows, columns=PLACES)

    def _request(self, user_id: str, history: Sequence[str | Event] | None, query: str, now: int) -> Request:
        profile = self._profiles.get(user_id, now)
        events = profile.history if history is None else [Event(e) if isinstance(e, str) else e for e in history]
        return dataclasses.replace(profile, history=events, query_token_ids=self._tokenize(query))


@contextlib.contextmanager
def _silent(title: str) -> Iterator[Callable[[Step], None]]:
    yield lambda step: None
