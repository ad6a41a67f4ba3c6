"""The recommender, from tables to served models, on one screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homefeed.components import (
    behavior_pretrainer,
    bulk_inferrer,
    evaluator,
    example_gen,
    example_validator,
    fuser,
    infra_validator,
    pusher,
    ranking_trainer,
    retrieval_trainer,
    schema_gen,
    statistics_gen,
    transform,
)
from homefeed.components.artifacts.types import DatasetDir, Schema
from homefeed.pipeline.dag import Dag


def recommender(dataset: DatasetDir, schemas_before: Mapping[str, Schema] | None = None) -> Dag:
    """Wires the components. The order of the lines is the order of the run; gates stop what follows them.

    Args:
        dataset: the tables.
        schemas_before: table → schema of earlier data that these must keep to, instead of the one made from them.
    """
    dag = Dag(_check)
    data = dag.add(example_gen, dataset=dataset)
    tables = {"interactions": data.interactions, "items": data.items, "users": data.users}
    statistics = vars(dag.add(statistics_gen, **tables))
    schemas = vars(dag.add(schema_gen, dataset=dataset, **statistics))
    dag.add(
        example_validator,
        dataset=dataset,
        quarantine=data.quarantine,
        interactions=data.interactions,
        **{f"{table}_statistics": channel for table, channel in statistics.items()},
        **{f"{table}_schema": schema for table, schema in (schemas | dict(schemas_before or {})).items()},
    )
    inputs = vars(dag.add(transform, dataset=dataset, **tables, exposures=data.exposures))
    pretrained = dag.add(behavior_pretrainer, **inputs)
    retrieval = dag.add(retrieval_trainer, **inputs, bert=pretrained.bert)
    ranking = dag.add(ranking_trainer, **inputs, bert=pretrained.bert, retrieval_model=retrieval.model)
    models = {"retrieval_model": retrieval.model, "ranking_model": ranking.model}
    fused = dag.add(fuser, **models)
    evaluation = dag.add(evaluator, **inputs, fused_model=fused.model, bert=pretrained.bert)
    infra = dag.add(infra_validator, **inputs, **models, fused_model=fused.model, bert=pretrained.bert)
    blessings = {"blessing": evaluation.blessing, "infra_blessing": infra.blessing}
    pushing = {"fused_model": fused.model, "evaluation": evaluation.evaluation, **blessings}
    dag.add(pusher, **inputs, users=data.users, items=data.items, relations=data.relations, **models, **pushing)
    dag.add(bulk_inferrer, **inputs, users=data.users, fused_model=fused.model, **blessings)
    return dag


def _check(configs: Mapping[str, Any]) -> list[str]:
    """No text is longer than a compact BERT reads; a preset brings a length of its own."""
    if configs["transform"].bert_preset:
        return []
    limit = configs["behavior_pretrainer"].max_tokens
    length = configs["transform"].item_tokens + 2  # [CLS] text [SEP].
    wrong = f"transform.item_tokens + 2 ({length}) is more than behavior_pretrainer.max_tokens ({limit})"
    return [wrong] if length > limit else []
