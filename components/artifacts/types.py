"""What components hand to each other: typed folders that know their own files, named and laid out as in TFX."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import yaml

from homefeed.schemas import dataset, tables, text_yaml
from homefeed.schemas.errors import HomefeedError

SPLITS = ("train", "eval", "test")  # Of interactions, in the order of time.
ALL = "all"  # The one split of items and users.
ARTIFACTS, STAGING = "artifacts", ".staging"  # In a root: `<Component>/<key>/<output>`, whole or being written.


class ArtifactError(HomefeedError, ValueError):
    """An artifact lacks what it should hold."""


class GateClosed(HomefeedError):  # noqa: N818  A verdict, not a fault.
    """A gate said no: the run stops here, with the reasons."""

    def __init__(self, gate: str, reasons: Sequence[str]):
        super().__init__(f"{gate}: " + "; ".join(reasons))
        self.gate = gate
        self.reasons = tuple(reasons)


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A folder of one kind. The class name is the type's name in ML Metadata."""

    EXTERNAL: ClassVar[bool] = False  # Comes from outside the pipeline and may change under our feet.

    path: pathlib.Path

    @property
    def root(self) -> pathlib.Path | None:
        """The root that holds it; None: no run of a pipeline made it."""
        parents = self.path.absolute().parents
        return parents[3] if len(parents) > 3 and parents[2].name in (ARTIFACTS, STAGING) else None

    def digest(self) -> str:
        """Hex digest of every file below the folder, by name and content."""
        return digest_files(self.path, sorted(p for p in self.path.rglob("*") if p.is_file()))

    def is_intact(self) -> bool:
        """Whether a later run may use it."""
        return self.path.is_dir()

    def read_json(self, name: str) -> Any:
        """Reads one of the artifact's JSON files."""
        path = self.path / name
        if not self.path.is_dir():
            raise ArtifactError(
                f"{type(self).__name__} is not at {self.path}: it was removed, or moved since an earlier homefeed "
                "recorded its absolute path; `homefeed run` makes it again"
            )
        if not path.is_file():
            present = ", ".join(sorted(p.name for p in self.path.glob("*"))) or "nothing"
            raise ArtifactError(f"{type(self).__name__} at {self.path} has no {name}; it holds {present}")
        return json.loads(path.read_text(encoding="utf-8"))

    def write_json(self, name: str, value: Any) -> None:
        """Writes a JSON file, keys sorted so that equal values give equal bytes."""
        self.path.mkdir(parents=True, exist_ok=True)
        text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False)
        (self.path / name).write_text(text + "\n", encoding="utf-8")


class Gate(Artifact):
    """An artifact that may stop the run."""

    FILE: ClassVar[str] = "verdict.json"

    def write_reasons(self, reasons: Sequence[str]) -> None:
        """Records the verdict: open when there is no reason against it."""
        self.write_json(self.FILE, {"open": not reasons, "reasons": list(reasons)})

    def reasons(self) -> list[str]:
        """Why the gate is closed; empty when it is open."""
        reasons: list[str] = self.read_json(self.FILE)["reasons"]
        return reasons

    def require_open(self) -> None:
        """Lets pass what may go on.

        Raises:
            GateClosed: the gate is closed; with the reasons.
        """
        if reasons := self.reasons():
            raise GateClosed(type(self).__name__, reasons)


class DatasetDir(Artifact):
    """The user's own folder: three tables beside `dataset.yaml`. Comes from outside, never written."""

    EXTERNAL: ClassVar[bool] = True

    def digest(self) -> str:
        """Hex digest of `dataset.yaml`, of the tables and rules that it names and of the curated schemas."""
        files = [
            self.path / dataset.FILE_NAME,
            *tables.local_files(self.path),
            *self.curated_schemas(),
            *self.rules(),
        ]
        return digest_files(self.path, files)

    def curated_schemas(self) -> list[pathlib.Path]:
        """`schema/<table>.pbtxt`: the schemas that people keep; for a table without one, it is inferred."""
        return sorted(self.path.glob("schema/*.pbtxt"))

    def rules(self) -> list[pathlib.Path]:
        """The file of rules, and those that it names; Transform tells what is wrong with them."""
        name = dataset.load_dataset(self.path).rules
        path = self.path / (name or "")
        if not path.is_file():
            return []
        with contextlib.suppress(yaml.YAMLError, UnicodeDecodeError):
            said = text_yaml.load(path.read_text(encoding="utf-8"))
            return sorted({path, *(beside for beside in _named(said, path.parent) if beside.is_file())})
        return [path]


def _named(said: Any, folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """The files that a file of rules names, at any depth."""
    if isinstance(said, dict):
        yield from (folder / said[key] for key in ("file", "reviews") if isinstance(said.get(key), str))
    for value in said.values() if isinstance(said, dict) else said if isinstance(said, list) else ():
        yield from _named(value, folder)


class Baseline(Artifact):
    """Examples, statistics or a log of requests of another day. Comes from outside the pipeline."""

    EXTERNAL: ClassVar[bool] = True

    def digest(self) -> str:
        """Hex digest of the file, or of every file below the folder."""
        return digest_files(self.path.parent, [self.path]) if self.path.is_file() else super().digest()


class Splits(Artifact):
    """`Split-<name>/…`: the same for each split."""

    @property
    def splits(self) -> list[str]:
        """Names of the splits that exist."""
        return sorted(p.name.removeprefix("Split-") for p in self.path.glob("Split-*"))


class Examples(Splits):
    """`Split-<name>/*.gz`: gzip TFRecords of tf.train.Example."""

    USER_KEY_FILE: ClassVar[str] = "user_key.json"
    FACTS_FILE: ClassVar[str] = "facts.json"  # Of items: the columns that are facts.
    DECLARED_FILE: ClassVar[str] = "declared.json"  # Of items: the columns that dataset.yaml names.

    def user_key(self) -> str:
        """Where the key is by which user ids became pseudonyms (`env:NAME` or `file:PATH`); empty: they did not."""
        there = (self.path / self.USER_KEY_FILE).is_file()
        reference: str = self.read_json(self.USER_KEY_FILE) if there else ""
        return reference

    def facts(self) -> list[str]:
        """The columns of items that are facts on them, such as the series of a book."""
        return self._names(self.FACTS_FILE)

    def declared(self) -> list[str]:
        """The columns of items that the data have, whether or not an item has a value there."""
        return self._names(self.DECLARED_FILE)

    def _names(self, file: str) -> list[str]:
        names: list[str] = self.read_json(file) if (self.path / file).is_file() else []
        return names

    def split_files(self, split: str) -> list[pathlib.Path]:
        """The shards of a split, in order.

        Raises:
            ArtifactError: there is no such split.
        """
        folder = self.split_dir(split)
        if not folder.is_dir():
            raise ArtifactError(
                f"No split {split!r} in {self.path}. Splits there: {', '.join(self.splits) or 'none'}."
            )
        return sorted(folder.glob("*.gz"))

    def split_dir(self, split: str) -> pathlib.Path:
        """Where a split lies, or will."""
        return self.path / f"Split-{split}"


class Quarantine(Artifact):
    """`<table>.jsonl`: the rows that could not be used, each with file, line, reason and raw text."""

    COUNTS_FILE: ClassVar[str] = "counts.json"  # Table → what became of its rows; see ExampleGen's TableCounts.


class ExampleStatistics(Splits):
    """`Split-<name>/FeatureStats.pb`: TFDV's binary DatasetFeatureStatisticsList."""

    FILE: ClassVar[str] = "FeatureStats.pb"

    def split_file(self, split: str) -> pathlib.Path:
        """The statistics of one split."""
        return self.path / f"Split-{split}" / self.FILE


class Schema(Artifact):
    """`schema.pbtxt`: a TFMD Schema in text form."""

    @property
    def file(self) -> pathlib.Path:
        """The schema itself."""
        return self.path / "schema.pbtxt"


class ExampleAnomalies(Gate):
    """`Split-<name>/SchemaDiff.pb`: TFMD Anomalies, and the verdict on them."""

    def split_file(self, split: str) -> pathlib.Path:
        """The anomalies of one split."""
        return self.path / f"Split-{split}" / "SchemaDiff.pb"


class TransformGraph(Artifact):
    """Vocabularies and the catalogue as arrays: what turns raw ids and text into model inputs."""


class Model(Artifact):
    """`Format-Serving/`: a SavedModel. `Snapshot/`, `Text/`: what training goes on from, and a refresh is made of."""

    @property
    def serving_dir(self) -> pathlib.Path:
        """The SavedModel."""
        return self.path / "Format-Serving"

    @property
    def snapshot_dir(self) -> pathlib.Path:
        """Weights and vocabularies; not of fused models."""
        return self.path / "Snapshot"

    @property
    def text_dir(self) -> pathlib.Path:
        """The text model that reads queries and new items; of retrieval models."""
        return self.path / "Text"


class ModelRun(Artifact):
    """TensorBoard logs and training curves."""


TEXTS_FILE = "texts.json"  # Of PretrainedBert.


class PretrainedBert(Artifact):
    """A text model; its BERT and vocabulary are in KerasNLP's preset format.

    `texts.json` says what each way to read texts was worth on items hidden from training, and how many of BERT's
    tensors its fine-tuning changed.
    """


class ModelEvaluation(Artifact):
    """`metrics.json`, `metrics.md`, `evaluation.json`, `report.html` and `model_card.md`; see the Evaluator."""


class ModelBlessing(Gate):
    """The Evaluator's verdict on the models, with its reasons."""


class InfraBlessing(Gate):
    """The InfraValidator's verdict: the models load in a server and answer real requests, which it keeps."""

    def warmup_file(self, model: str) -> pathlib.Path:
        """The requests to a model, as TensorFlow Serving's warm-up records."""
        return self.path / "warmup" / model


class PushedModel(Artifact):
    """`pushed.json`: the version, and where models and profiles were published: below the root, relative to it."""

    FILE: ClassVar[str] = "pushed.json"

    def write(self, version: int, paths: Sequence[str]) -> None:
        """Records a push: folders, files or URLs."""
        start = f"{self.root or self.path}/"
        self.write_json(self.FILE, {"version": version, "paths": [path.removeprefix(start) for path in paths]})

    def is_intact(self) -> bool:
        """Whether everything that was pushed is still there."""
        return (self.path / self.FILE).is_file() and all(path.exists() for path in self._places())

    def models(self) -> dict[str, pathlib.Path]:
        """Model name → SavedModel, of a version that was retired since too."""
        return {path.parent.name: path for path in self._places() if path.is_dir()}

    def _places(self) -> list[pathlib.Path]:
        """What lies on an object store is believed, and left out."""
        local = [path for path in self.read_json(self.FILE)["paths"] if "://" not in path]
        return [_offered_or_retired((self.root or self.path) / path) for path in local]


def _offered_or_retired(offered: pathlib.Path) -> pathlib.Path:
    """Where a version lies that was pushed to a path and may have been taken back since."""
    return offered if offered.exists() else offered.with_name(f"{offered.name}.retired")


class InferenceResult(Artifact):
    """`<shard>.parquet` and `<shard>.jsonl`: for each user the items that suit them best, with their scores."""


def digest_files(root: pathlib.Path, files: Sequence[pathlib.Path]) -> str:
    """Hex digest over (name, content) of the files, in the given order; names below root are relative to it."""
    total = hashlib.blake2b(digest_size=16)
    for path in files:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
        name = path.relative_to(root) if path.is_relative_to(root) else path
        total.update(f"{name.as_posix()}\0{content.hexdigest()}\n".encode())
    return total.hexdigest()
