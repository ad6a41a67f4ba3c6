"""What holds for every layer and model: it comes back from its config and from disk, and counts no padding.

A new subclass of a Keras layer in `models/` fails here until it has a case.
"""

import dataclasses
import importlib
import json
import pathlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import homefeed.models
from homefeed.models.ranking.layers.candidate_attention import CandidateAttention
from homefeed.models.ranking.layers.feature_encoder import FeatureEncoder as RankingFeatureEncoder
from homefeed.models.ranking.layers.item_encoder import ItemEncoder
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.towers.biased_attention import BiasedAttention
from homefeed.models.retrieval.towers.candidate_tower import CandidateTower
from homefeed.models.retrieval.towers.feature_encoder import FeatureEncoder
from homefeed.models.retrieval.towers.number_encoding import NumberEncoding
from homefeed.models.retrieval.towers.query_tower import QueryTower
from homefeed.models.retrieval.towers.two_tower import TwoTower
from homefeed.models.retrieval.training import fit as retrieval_training
from homefeed.models.retrieval.training.windows import Windows
from homefeed.models.shared.feature_spec import FeatureSpec
from homefeed.models.shared.local_time import POSITIONS
from homefeed.models.text.heads import TextHeads, memories
from tests import toy_data
from tests.models.ranking import toy as ranking_toy
from tests.models.retrieval import toy as retrieval_toy

Inputs = dict[str, Any]
SPEC = FeatureSpec({"genre": 5}, {"year": (1990.0, 2000.0, 2010.0)}, {"face_embedding": 3})


@dataclasses.dataclass(frozen=True)
class Case:
    """One layer, and how to ask it.

    Attributes:
        make: a layer with weights that say something.
        inputs: name → array, whose first axis is the batch.
        call: what is compared, [batch, …], of the inputs as tensors.
        padded: the same inputs with more places that must not count.
        same: what of the output belongs to the places that were there before.
        from_config: whether `get_config` is enough to make it; models are made from data instead.
        as_json: whether its config fits into JSON.
    """

    make: Callable[[], Any]
    inputs: Inputs
    call: Callable[[Any, Inputs], tf.Tensor]
    padded: Callable[[Inputs], Inputs]
    same: Callable[[Any], Any] = lambda output: output
    from_config: bool = True
    as_json: bool = True


def _random(layer: Any, seed: int = 0) -> Any:
    """Gives every weight that trains a value other than what it starts with."""
    rng = np.random.default_rng(seed)
    for variable in sorted(layer.trainable_variables, key=lambda v: getattr(v, "path", v.name)):
        variable.assign(rng.normal(0, 0.3, variable.shape))
    return layer


def _wider(array: Any, axis: int = 1, value: float | int = 0, by: int = 2) -> Any:
    widths = [(0, by if place == axis else 0) for place in range(np.ndim(array))]
    return np.pad(array, widths, constant_values=value)


RNG = np.random.default_rng(1)
FEATURES = {
    "genre": np.array([[2, 4], [3, 0], [0, 0]], np.int32),
    "year": np.array([[1995.0], [np.nan], [2050.0]], np.float32),
    "face_embedding": np.array([[1, 2, 2], [0, 0, 0], [np.nan, 1, 1]], np.float32),
}
ITEMS = FEATURES | {
    "id": np.array([1, 4, 0], np.int32),
    "tokens": np.array([[3, 7], [2, 0], [0, 0]], np.int32),
    "text": np.array([[3, 0, 4], [0, 0, 0], [0, 2, 0]], np.float32),
}
HISTORY = ("history_value", "history_event_type")
OF_EVENTS = FeatureSpec({"event_type": 4}, {"value": (1.0, 5.0)}, {})
OF_CONTEXT = FeatureSpec({"event_type": 4, **POSITIONS}, {}, {})
EVENTS = {
    "embedding": RNG.normal(size=(3, 4, 6)).astype(np.float32),
    "history_value": np.array([[1, 5, np.nan, 2], [3, 0, 0, 0], [0, 0, 0, 0]], np.float32),
    "history_event_type": np.array([[2, 3, 1, 0], [2, 0, 0, 0], [0, 0, 0, 0]], np.int32),
    "timestamp": np.array([[100, 200, 9_000, 9_001], [50, 0, 0, 0], [0, 0, 0, 0]], np.int64),
    "item": np.array([[3, 1, 2, 5], [4, 0, 0, 0], [0, 0, 0, 0]], np.int32),
    "now": np.array([10_000, 60, 0], np.int64),
    "context_event_type": np.array([2, 3, 0], np.int32),
    "user_genre": FEATURES["genre"],
}


def _last(output: Any) -> Any:
    """Of a query tower: the answer after each row's last event."""
    return np.take_along_axis(np.asarray(output), np.array([4, 1, 0])[: len(output), None, None], axis=1)


def _query(tower: Any, inputs: Inputs) -> tf.Tensor:
    return tower(inputs, {"genre": inputs["user_genre"]})


def _tensors(inputs: Inputs) -> Inputs:
    return {name: tf.convert_to_tensor(value) for name, value in inputs.items()}


def _two_tower() -> TwoTower:
    tf.keras.utils.set_random_seed(2)
    config = Hyperparameters(width=4, num_layers=1, max_events=4)
    model = retrieval_training.build(retrieval_toy.catalogue(), retrieval_toy.sequences(), config)
    model.compute_loss(_tensors(WINDOWS))
    return model


WINDOWS = next(Windows(retrieval_toy.sequences(), 4).epoch(np.random.default_rng(0), 3))
RANKING_TRAIN = toy_data.toy_sequences()


def _rank(ranker: Ranker, request: Inputs) -> tf.Tensor:
    outputs = ranker(request)
    return tf.stack([outputs[name] for name in ("list_logits", "positive_logits", "ratings", "text_logits")], -1)


def _ranker() -> Ranker:
    ranker = ranking_toy.make_ranker(toy_data.toy_catalogue(), RANKING_TRAIN)
    return _random(ranker)


def _more_ranking(request: Inputs) -> Inputs:
    """More candidates, events and values that are none."""
    padded = request | {name: _wider(request[name]) for name in request if name.startswith("recent_")}
    padded["recent_value"] = _wider(request["recent_value"], value=np.nan)
    return padded | {"candidates": _wider(request["candidates"]), "user_gender": _wider(request["user_gender"])}


LABELS = {"relevance", "irrelevant", "is_event", "positive", "value"}
RANKING_REQUEST = {
    name: tensor.numpy() for name, tensor in ranking_toy.make_request(RANKING_TRAIN, 3).items() if name not in LABELS
} | {"candidates": np.array([[1, 2, 3], [4, 5, 0], [7, 0, 0]], np.int32)}


def _item_encoder() -> ItemEncoder:
    encoder = ItemEncoder(toy_data.toy_catalogue(), text_width=3, width=4, id_dropout=0.5)
    encoder.build()
    encoder.set_texts(np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32))
    return _random(encoder)


def _built(layer: Any, case_inputs: Inputs, call: Callable[[Any, Inputs], tf.Tensor]) -> Any:
    call(layer, _tensors(case_inputs))
    return _random(layer)


ATTENTION = {
    "candidates": RNG.normal(size=(3, 2, 5)).astype(np.float32),
    "memory": RNG.normal(size=(3, 4, 6)).astype(np.float32),
    "present": np.array([[True] * 4, [True, False, True, False], [False] * 4]),
    "bias": RNG.normal(size=(3, 4)).astype(np.float32),
}


def _attend(layer: CandidateAttention, given: Inputs) -> tf.Tensor:
    return layer(tuple(given[name] for name in ("candidates", "memory", "present", "bias")))


CASES: dict[type, Case] = {
    NumberEncoding: Case(
        lambda: NumberEncoding((1.0, 2.0, 4.0)),
        {"numbers": np.array([[1.5, 9.0], [np.nan, 2.0], [3.0, -1.0]], np.float32)},
        lambda layer, given: tf.reduce_sum(layer(given["numbers"]), axis=1),
        lambda given: {"numbers": _wider(given["numbers"], value=np.nan)},
    ),
    FeatureEncoder: Case(
        lambda: _built(FeatureEncoder(SPEC, 4, 0.3), FEATURES, lambda layer, given: layer(given)),
        FEATURES,
        lambda layer, given: layer(given),
        lambda given: given | {"genre": _wider(given["genre"])},
    ),
    RankingFeatureEncoder: Case(
        lambda: _built(RankingFeatureEncoder(SPEC, 4), FEATURES, lambda layer, given: layer(given)),
        FEATURES,
        lambda layer, given: layer(given),
        lambda given: given | {"genre": _wider(given["genre"])},
    ),
    BiasedAttention: Case(
        lambda: _built(
            BiasedAttention(6, 2, 3, 0.1), EVENTS, lambda layer, given: layer(given["embedding"], given["timestamp"])
        ),
        EVENTS,
        lambda layer, given: layer(given["embedding"], given["timestamp"]),
        lambda given: {name: _wider(given[name], value=9) for name in ("embedding", "timestamp")},
        same=lambda output: output[:, :4],
    ),
    QueryTower: Case(
        lambda: _built(
            QueryTower(6, 2, 2, 3, 0.1, FeatureSpec({"genre": 5}, {}, {}), OF_EVENTS, OF_CONTEXT, "Asia/Shanghai"),
            EVENTS,
            _query,
        ),
        EVENTS,
        _query,
        lambda given: given | {name: _wider(given[name]) for name in ("embedding", *HISTORY, "timestamp", "item")},
        same=_last,
    ),
    CandidateTower: Case(
        lambda: _built(
            CandidateTower(4, SPEC, num_tokens=8, text_size=3, width=4),
            {name: column[:1] for name, column in ITEMS.items()},
            lambda layer, given: layer(given)[0],
        ),
        ITEMS,
        lambda layer, given: tf.concat(layer(given), axis=1),
        lambda given: given | {name: _wider(given[name]) for name in ("tokens", "genre")},
    ),
    TwoTower: Case(
        lambda: _random(_two_tower()),
        WINDOWS,
        lambda model, given: model.embed_last(given, model.embed_all()),
        lambda given: given | {name: _wider(given[name]) for name in ("item", *HISTORY, "timestamp", "weight")},
        from_config=False,
    ),
    CandidateAttention: Case(
        lambda: _built(CandidateAttention(4, 2), ATTENTION, lambda layer, given: _attend(layer, given)),
        ATTENTION,
        lambda layer, given: _attend(layer, given),
        lambda given: given | {name: _wider(given[name], value=0) for name in ("memory", "present", "bias")},
    ),
    ItemEncoder: Case(
        _item_encoder,
        {"rows": np.array([[3, 1], [7, 0], [2, 2]], np.int32)},
        lambda layer, given: layer(given["rows"]),
        lambda given: {"rows": _wider(given["rows"])},
        same=lambda output: output[:, :2],
        as_json=False,
    ),
    TextHeads: Case(
        lambda: _text_heads(),
        {
            "events": RNG.normal(size=(3, 2, 6)).astype(np.float32),
            "known": np.array([[1, 1], [1, 0], [0, 0]], np.float32),
            "query": np.array([[0.0] * 6, [1.0] * 6, [2.0] * 6], np.float32),
            "texts": RNG.normal(size=(3, 2, 6)).astype(np.float32),
        },
        lambda layer, given: _suits(layer, given),
        lambda given: given | {name: _wider(given[name]) for name in ("events", "known", "texts")},
        same=lambda output: output[:, :2],
    ),
    Ranker: Case(
        _ranker,
        RANKING_REQUEST,
        _rank,
        _more_ranking,
        same=lambda output: output[:, :3],
        from_config=False,
    ),
}


def _text_heads() -> TextHeads:
    layer = TextHeads(6, 4)
    layer.set_weights([np.random.default_rng(0).normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


def _suits(layer: TextHeads, given: Inputs) -> tf.Tensor:
    wanted = layer.wanted_in(memories(given["events"], given["known"])) + layer.query(given["query"])
    return tf.linalg.matvec(layer.offered(given["texts"]), wanted) + layer.popularity(given["texts"])


@pytest.fixture(scope="module", params=CASES, ids=lambda kind: f"{kind.__module__.split('.')[2]}.{kind.__name__}")
def made(request: pytest.FixtureRequest) -> tuple[Case, Any]:
    return CASES[request.param], CASES[request.param].make()


def _ask(case: Case, layer: Any, inputs: Inputs) -> Any:
    return np.asarray(case.call(layer, _tensors(inputs)))


def _rows(inputs: Inputs, chosen: slice) -> Inputs:
    return {name: value[chosen] for name, value in inputs.items()}


def _layers() -> Iterator[type]:
    """Every class in `models/` that Keras would call a layer."""
    for module in pkgutil.walk_packages(homefeed.models.__path__, "homefeed.models."):
        for value in vars(importlib.import_module(module.name)).values():
            ours = isinstance(value, type) and value.__module__.startswith("homefeed.models.")
            if ours and issubclass(value, tf.keras.layers.Layer | keras.layers.Layer):
                yield value


def test_every_layer_has_a_case() -> None:
    assert {kind.__qualname__ for kind in set(_layers()) - CASES.keys()} == set()


def test_it_comes_back_from_disk(made: tuple[Case, Any], tmp_path: pathlib.Path) -> None:
    case, layer = made
    module = tf.Module()
    # SavedModel keeps what it can reach; it does not know Keras 3's variables.
    is_keras_3 = isinstance(layer, keras.layers.Layer)
    module.kept = [variable.value for variable in layer.variables] if is_keras_3 else layer
    module.constants = getattr(layer, "constants", [])
    specs = {
        name: tf.TensorSpec([None, *value.shape[1:]], tf.as_dtype(value.dtype), name)
        for name, value in case.inputs.items()
    }
    call = tf.function(lambda **given: {"output": case.call(layer, given)}).get_concrete_function(**specs)
    tf.saved_model.save(module, str(tmp_path), signatures=call)
    loaded = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    found = loaded(**{name: tf.constant(value) for name, value in case.inputs.items()})["output"]
    np.testing.assert_allclose(found, _ask(case, layer, case.inputs), rtol=1e-5, atol=1e-6)


def test_its_config_makes_it_anew(made: tuple[Case, Any]) -> None:
    case, layer = made
    if not case.from_config:
        pytest.skip("made from data")
    config = layer.get_config()
    again = type(layer).from_config(json.loads(json.dumps(config)) if case.as_json else config)
    arguments = type(layer).__init__.__code__.co_varnames[1 : type(layer).__init__.__code__.co_argcount]
    assert arguments, "a layer without arguments needs no config"
    for name in arguments:
        assert getattr(again, name) == getattr(layer, name), f"`{name}` is an attribute, and the same after the trip"
    case.call(again, _tensors(case.inputs))
    again.set_weights(layer.get_weights())
    np.testing.assert_allclose(_ask(case, again, case.inputs), _ask(case, layer, case.inputs), rtol=1e-6, atol=1e-7)


def test_a_row_does_not_depend_on_the_others(made: tuple[Case, Any]) -> None:
    case, layer = made
    together = _ask(case, layer, case.inputs)
    for row in range(len(together)):
        alone = _ask(case, layer, _rows(case.inputs, slice(row, row + 1)))
        np.testing.assert_allclose(alone, together[row : row + 1], rtol=1e-4, atol=1e-5)


def test_no_row_is_no_answer(made: tuple[Case, Any]) -> None:
    case, layer = made
    nothing = _ask(case, layer, _rows(case.inputs, slice(0, 0)))
    assert nothing.shape == (0, *_ask(case, layer, case.inputs).shape[1:])


def test_masked_places_do_not_count(made: tuple[Case, Any]) -> None:
    case, layer = made
    plain = case.same(_ask(case, layer, case.inputs))
    padded = case.same(_ask(case, layer, case.padded(case.inputs)))
    np.testing.assert_allclose(padded, plain, rtol=1e-4, atol=1e-5)


def test_its_answers_are_numbers(made: tuple[Case, Any]) -> None:
    case, layer = made
    found = case.same(_ask(case, layer, case.inputs))
    assert np.isfinite(found).all() and np.ptp(found) > 0
