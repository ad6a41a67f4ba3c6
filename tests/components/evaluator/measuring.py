"""Toy models, measured."""

import dataclasses

from homefeed.components.evaluator.measured import Measured, fit_baselines, measure
from homefeed.components.evaluator.queries import Limits
from homefeed.serving.recommender import Recommender
from tests.toy_data import toy_catalogue, toy_sequences

LIMITS = Limits(max_queries=100, batch_size=2, max_ease_items=10_000, max_ease_seconds=60.0, min_slice_queries=50)


def measured(recommender: Recommender, in_service: Recommender | None = None) -> Measured:
    sequences = toy_sequences(3, num_history=2)
    limits = dataclasses.replace(LIMITS, min_slice_queries=1)
    rivals = fit_baselines(toy_sequences(4), sequences, toy_catalogue(), limits)
    return measure(recommender, in_service, rivals, sequences, toy_catalogue(), limits)
