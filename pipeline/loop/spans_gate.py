"""The gate in front of retraining: which spans of a log may be learnt from, decided once for each span.

A span is judged by the pipeline itself, run on it alone up to ExampleValidator, with the schema of the last good
span, and by its distances to that span. The verdict stays until the span's files change.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from homefeed.components.artifacts.types import DatasetDir, GateClosed, Quarantine, Schema, digest_files
from homefeed.components.drift.compare import run_drift
from homefeed.components.drift.findings import Finding
from homefeed.pipeline.recommender import recommender
from homefeed.pipeline.runner.local_runner import Observer, Step, run_pipeline
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas import spans, tables
from homefeed.schemas.columns import TableName
from homefeed.schemas.dataset import FILE_NAME, DatasetError, UnreachableError, load_dataset

WHOLE = ""  # The one span of data without {SPAN}.
NEW_EVERY_SPAN = ("interactions.user_id", "users.user_id")
"""Who comes differs from week to week, and says nothing against the data."""

JUDGES = ("example_gen", "statistics_gen", "schema_gen", "example_validator")
MAX_UNSEEN = 0.5


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The verdict on a span.

    Attributes:
        digest: of its files and of what judges them; a span where either changes is judged anew.
        events: how many can be learnt from; 0 if it was rejected.
        reasons: against it; none: it is good.
        drifted: distances to the last good span that are over their limits, whether they speak against it or not.
        schemas: table → folder of the schema that was inferred from it.
    """

    digest: str
    events: int
    reasons: list[str]
    drifted: list[str]
    schemas: dict[str, str]

    @property
    def is_good(self) -> bool:
        """Whether it may be learnt from."""
        return not self.reasons


def list_spans(data: pathlib.Path) -> list[str]:
    """The spans of the interactions, earliest first; WHOLE alone where their path has no {SPAN}."""
    table = load_dataset(data).interactions
    return list(tables.find_files(data, table, "interactions").spans) or [WHOLE]


@dataclasses.dataclass(frozen=True)
class Gate:
    """Judges spans.

    Attributes:
        data: folder with `dataset.yaml`.
        root: of the pipeline's runs.
        name: the pipeline's.
        configs: component → field → value, as of the whole pipeline.
        margin: how far over its limit a distance must be to speak against a span; all distances are 0 to 1.
        observer: as of `run_pipeline`.
        metadata: as of `run_pipeline`.
    """

    data: pathlib.Path
    root: pathlib.Path
    name: str
    configs: Mapping[str, Any]
    margin: float
    observer: Observer
    metadata: str | None

    def judge_all(self, known: Mapping[str, Verdict]) -> dict[str, Verdict]:
        """Span → verdict, for every span that there is now; those whose files are as they were keep theirs."""
        verdicts: dict[str, Verdict] = {}
        for span in list_spans(self.data):
            digest = self._digest(span)
            old = known.get(span)
            last_good = next((name for name in reversed(verdicts) if verdicts[name].is_good), None)
            if old is None or old.digest != digest or (old.is_good and not _are_there(old.schemas)):
                verdicts[span] = self._judge(span, digest, last_good, verdicts)
            else:
                verdicts[span] = old
        return verdicts

    def _judge(self, span: str, digest: str, last_good: str | None, verdicts: Mapping[str, Verdict]) -> Verdict:
        schemas = {} if last_good is None else verdicts[last_good].schemas
        dag = recommender(DatasetDir(self.data), {table: Schema(pathlib.Path(p)) for table, p in schemas.items()})
        configs = dict(self.configs)
        configs["example_gen"] = dataclasses.replace(configs["example_gen"], spans=span)
        # Which spans are good is known here, and so is which of them to compare with.
        validator = configs["example_validator"]
        allowed = (*validator.allowed, *_new_facts(self.data))
        configs["example_validator"] = dataclasses.replace(validator, baseline_spans=0, allowed=allowed)
        try:
            steps = run_pipeline(
                dag,
                configs,
                self.root,
                name=self.name,
                observer=self.observer,
                until="example_validator",
                metadata=self.metadata,
            )
            drifted, reasons = self._drift(last_good, span) if last_good is not None else ([], [])
        except GateClosed as closed:
            return Verdict(digest, 0, list(closed.reasons), [], {})
        except UnreachableError:
            raise  # No verdict on the span, which would stay.
        except DatasetError as error:
            return Verdict(digest, 0, str(error).splitlines(), [], {})
        return Verdict(digest, 0 if reasons else _events(steps), reasons, drifted, _schemas(steps))

    def _drift(self, last_good: str, span: str) -> tuple[list[str], list[str]]:
        """What drifted at all, and by so much that it speaks against the span; a page of it is kept."""
        report = run_drift(f"{self.data}@{last_good}", f"{self.data}@{span}", without=_new_facts(self.data))
        page = RunRoot(self.root).drift_page(span)
        page.parent.mkdir(parents=True, exist_ok=True)
        report.write(html_path=page)
        found = [finding for finding in report.drifted if finding.feature not in NEW_EVERY_SPAN]
        reasons = [
            f"{one.feature}: {one.measure} to span {last_good} is {one.value:.3f}, over {self._bearable(one):.3f}"
            + (f" ({one.detail})" if one.detail else "")
            for one in found
            if not one.value <= self._bearable(one)
        ]
        return [f"{one.feature}:{one.measure}" for one in found], reasons

    def _bearable(self, found: Finding) -> float:
        limit = found.threshold + self.margin
        # New items and words are what a span is for: they speak against it only where they outnumber the old.
        return max(limit, MAX_UNSEEN) if found.measure == "unseen_share" else limit

    def _digest(self, span: str) -> str:
        """Of what the verdict is about: `dataset.yaml`, the schema, the span's own files, and what judges them."""
        dataset = load_dataset(self.data)
        files = [self.data / FILE_NAME, *sorted(self.data.glob("schema/*.pbtxt"))]
        for name in dataset.tables:
            if span == WHOLE or spans.SPAN in dataset.table(name).path:
                files += _local_files(self.data, name, span)
        judges = json.dumps([dataclasses.asdict(self.configs[name]) for name in JUDGES], sort_keys=True)
        settings = hashlib.blake2b(f"{self.margin:g} {judges}".encode(), digest_size=16).hexdigest()
        return f"{digest_files(self.data, files)} {settings}"


def read_verdicts(values: Mapping[str, Any]) -> dict[str, Verdict]:
    """From JSON values."""
    return {span: Verdict(**fields) for span, fields in values.items()}


def to_json(verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    """As JSON values."""
    written: dict[str, Any] = json.loads(json.dumps({s: dataclasses.asdict(v) for s, v in verdicts.items()}))
    return written


def _new_facts(data: pathlib.Path) -> list[str]:
    """Facts on items that come by span: each brings others on other items, which says nothing against it."""
    dataset = load_dataset(data)
    by_span = dataset.knowledge is not None and spans.SPAN in dataset.knowledge.path
    return [f"items.{name}" for name in dataset.facts] if by_span else []


def _local_files(data: pathlib.Path, name: TableName, span: str) -> list[pathlib.Path]:
    try:
        files = tables.find_files(data, load_dataset(data).table(name), name, span).files
    except DatasetError:
        return []  # ExampleGen will say so.
    return [pathlib.Path(file.path) for file in files if not tables.is_uri(file.path)]


def _are_there(schemas: Mapping[str, str]) -> bool:
    return all(Schema(pathlib.Path(path)).file.is_file() for path in schemas.values())


def _outputs(steps: Sequence[Step], component: str) -> Mapping[str, pathlib.Path]:
    return next(step.outputs for step in steps if step.component == component)


def _events(steps: Sequence[Step]) -> int:
    counts = Quarantine(_outputs(steps, "ExampleGen")["quarantine"]).read_json("counts.json")
    return int(counts["interactions"]["written"])


def _schemas(steps: Sequence[Step]) -> dict[str, str]:
    return {table: str(path) for table, path in _outputs(steps, "SchemaGen").items()}
