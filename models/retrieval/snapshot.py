"""The snapshot of a trained retrieval model: weights and vocabularies, from which any items table can be embedded
and a warm start begins."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic
import tensorflow as tf

from homefeed.models import catalogue as catalogues
from homefeed.models import sequences as sequence_module
from homefeed.models.errors import ModelError
from homefeed.models.hot.blend import Blend
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.linear import linear_factors
from homefeed.models.retrieval.towers import candidate_tower, query_tower
from homefeed.models.retrieval.towers.architecture import Architecture
from homefeed.models.retrieval.training.trained import Trained
from homefeed.models.shared import snapshot_files
from homefeed.models.shared.request_specs import RequestFeatures


@dataclasses.dataclass(frozen=True)
class Facts:
    """The part of a snapshot that is written as JSON.

    Attributes:
        config: as it was trained with.
        architecture: of the towers.
        request: what a request may say of a user.
        vocabularies: of the item features; longer than the architecture says where items came later.
        wordpiece: the vocabulary of behaviour text.
        widths: categorical item feature → values kept of it.
        item_tokens: tokens kept of an item's text.
        cold_start_boost: added to the bias of cold-start items.
        long_term: as in LinearFactors.
        hot: the order of what is hot.
    """

    config: Hyperparameters
    architecture: Architecture
    request: RequestFeatures
    vocabularies: Mapping[str, tuple[str, ...]]
    wordpiece: tuple[str, ...]
    widths: Mapping[str, int]
    item_tokens: int
    cold_start_boost: float
    long_term: float
    hot: Blend = dataclasses.field(default_factory=Blend)


_FACTS = pydantic.TypeAdapter(Facts)


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Facts, weights, and what belongs to the items that training knew.

    Attributes:
        facts: see there.
        query_weights, candidate_weights: weight name → array.
        item_ids: [num_trained] object (bytes): the item of each row of the candidate tower's id table, from 1 on.
        train_counts: [num_trained] int64.
        linear: [num_trained, rank] factors of those items.
        content_maps: the factors that are expected of others.
        is_shared: [num_tokens] bool, tokens that the candidate tower reads.
        sample: [num_queries, width + 1 + rank] float32 query embeddings, by which an index is tuned.
    """

    facts: Facts
    query_weights: snapshot_files.Arrays
    candidate_weights: snapshot_files.Arrays
    item_ids: npt.NDArray[np.object_]
    train_counts: npt.NDArray[np.int64]
    linear: linear_factors.LinearFactors
    content_maps: linear_factors.ContentMaps
    is_shared: npt.NDArray[np.bool_]
    sample: npt.NDArray[np.float32]

    @classmethod
    def of(
        cls,
        trained: Trained,
        catalogue: catalogues.Catalogue,
        train: sequence_module.Sequences,
        config: Hyperparameters,
        wordpiece: Sequence[str] = (),
        sample: npt.NDArray[np.float32] | None = None,
        hot: Blend | None = None,
    ) -> Snapshot:
        """Takes it from a model that was just trained; see the attributes."""
        rows = np.flatnonzero(catalogue.train_counts[1:]) + 1
        facts = Facts(
            config,
            Architecture.of(catalogue, train),
            RequestFeatures.of(train),
            catalogue.vocabularies,
            tuple(wordpiece),
            {name: positions.shape[1] for name, positions in catalogue.categorical.items()},
            catalogue.token_ids.shape[1],
            trained.cold_start_boost,
            trained.linear.long_term,
            hot or Blend(),
        )
        return cls(
            facts,
            _weights(trained.towers.query_tower),
            _weights(trained.towers.candidate_tower),
            catalogue.item_ids[rows],
            catalogue.train_counts[rows],
            dataclasses.replace(
                trained.linear, encode=trained.linear.encode[rows], decode=trained.linear.decode[rows]
            ),
            trained.content_maps,
            candidate_tower.is_shared(catalogue.token_ids, _is_trained(catalogue)),
            np.empty((0, 0), np.float32) if sample is None else sample,
        )

    def save(self, folder: pathlib.Path) -> None:
        """Writes it into a folder."""
        arrays: snapshot_files.Arrays = {
            "item_ids": np.frombuffer(json.dumps([i.decode() for i in self.item_ids]).encode(), np.uint8),
            "train_counts": self.train_counts,
            "is_shared": self.is_shared,
            "sample": self.sample,
        }
        groups = {
            "query.": self.query_weights,
            "candidate.": self.candidate_weights,
            "linear.": {"encode": self.linear.encode, "decode": self.linear.decode},
            "content.": vars(self.content_maps),
        }
        for prefix, group in groups.items():
            arrays |= snapshot_files.prefixed(prefix, group)
        snapshot_files.save(folder, _FACTS.dump_json(self.facts), arrays)

    @classmethod
    def load(cls, folder: pathlib.Path) -> Snapshot:
        """The inverse of `save`.

        Raises:
            FileNotFoundError: the folder holds none.
            ModelError: another version of homefeed wrote it, with other facts.
        """
        saved, arrays = snapshot_files.load(folder, "retrieval")
        facts = snapshot_files.read_facts(_FACTS, saved, folder)
        query, candidate, linear, content = (
            snapshot_files.with_prefix(prefix, arrays) for prefix in ("query.", "candidate.", "linear.", "content.")
        )
        ids = [item_id.encode() for item_id in json.loads(arrays["item_ids"].tobytes())]
        return cls(
            facts,
            query,
            candidate,
            np.array([*ids, None], object)[:-1],
            arrays["train_counts"],
            linear_factors.LinearFactors(**linear, long_term=facts.long_term),
            linear_factors.ContentMaps(**content),
            arrays["is_shared"],
            arrays["sample"],
        )

    def towers(self) -> tuple[query_tower.QueryTower, candidate_tower.CandidateTower]:
        """The towers, trained.

        Raises:
            ModelError: another version of homefeed trained them, which had other weights.
        """
        facts = self.facts
        query, candidate = (
            facts.architecture.query_tower(facts.config),
            facts.architecture.candidate_tower(facts.config),
        )
        facts.architecture.build(query, candidate)
        for tower, weights in ((query, self.query_weights), (candidate, self.candidate_weights)):
            variables = named_variables(tower)
            if missing := sorted(variables.keys() - weights.keys()):
                raise ModelError(
                    f"The trained model lacks the weights {', '.join(missing)}, which this version of homefeed has: "
                    "train it again."
                )
            for name, variable in variables.items():
                variable.assign(weights[name])
        return query, candidate

    def embed(
        self, tower: candidate_tower.CandidateTower, catalogue: catalogues.Catalogue
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Embeds a catalogue, whose vocabularies begin with those of `facts`.

        Returns:
            [num_rows, width + 1 + rank] float32 candidate embeddings, and [num_rows, rank] float32, what the
            linear model makes of an item in a history; row 0 of both is all 0.
        """
        rows = tower_rows(self, catalogue)
        known, new = (part.numpy() for part in tower(rows))
        is_new = rows["id"].numpy() == 0
        embeddings = np.where(is_new[:, None], new, known)
        embeddings[:, -1] += np.float32(self.facts.cold_start_boost) * is_new
        embeddings[0] = 0
        encode, decode = (
            np.concatenate([np.zeros((1, table.shape[1]), table.dtype), table])[rows["id"].numpy()]
            for table in (self.linear.encode, self.linear.decode)
        )
        factors = linear_factors.LinearFactors(encode, decode, self.linear.long_term)
        factors = factors.for_new_items(self.content_maps, new[:, :-1], is_new)
        return np.concatenate([embeddings, factors.decode], axis=1), factors.encode


def tower_rows(snapshot: Snapshot, catalogue: catalogues.Catalogue) -> dict[str, tf.Tensor]:
    """The candidate tower's inputs for every row of a catalogue, old items and new."""
    ids = {item_id: position + 1 for position, item_id in enumerate(snapshot.item_ids)}
    spec = snapshot.facts.architecture.item_spec
    tokens = np.where(catalogue.token_ids < len(snapshot.is_shared), catalogue.token_ids, 0)
    rows: dict[str, Any] = {
        "id": np.array([ids.get(item_id, 0) for item_id in catalogue.item_ids], np.int32),
        "tokens": np.where(snapshot.is_shared[tokens], tokens, 0),
        "text": candidate_tower.text_vectors(catalogue, snapshot.facts.architecture.text_size),
    }
    for name, size in spec.vocabulary_sizes.items():
        # A value that training did not know is out of its vocabulary: position 1.
        rows[name] = np.where(catalogue.categorical[name] < size, catalogue.categorical[name], 1)
    for name, size in {**dict.fromkeys(spec.knots, 1), **spec.sizes}.items():
        unknown = np.full((catalogue.num_rows, size), np.nan, np.float32)
        rows[name] = catalogue.numeric.get(name, unknown)
    return {name: tf.constant(column) for name, column in rows.items()}


def named_variables(tower: tf.keras.layers.Layer) -> dict[str, tf.Variable]:
    """A tower's weights by names that do not depend on how often towers were made."""
    return {variable.name.partition("/")[2].partition(":")[0]: variable for variable in tower.weights}


def _weights(tower: tf.keras.layers.Layer) -> snapshot_files.Arrays:
    return {name: variable.numpy() for name, variable in named_variables(tower).items()}


def _is_trained(catalogue: catalogues.Catalogue) -> npt.NDArray[np.bool_]:
    trained = catalogue.train_counts > 0
    trained[0] = False
    return trained
