import dataclasses
import pathlib
import socket
import subprocess
import types
from typing import Any

import numpy as np
import pytest

from homefeed.components import infra_validator
from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import Examples, InfraBlessing, Model, PretrainedBert, TransformGraph
from homefeed.models.requests import Event, Request
from homefeed.serving import process
from homefeed.serving.model_server.loading.warmup import read_records
from homefeed.serving.model_server.messages import PredictionLog
from homefeed.serving.predictors import GrpcPredictor
from homefeed.serving.recommender import Candidates, Recommendation
from tests.toy_data import toy_catalogue, toy_sequences

ZEROS = np.zeros((1, 3), np.float32)
NO_OBJECTIVE = ZEROS, ZEROS, np.array([b""], object), ZEROS


def answer(item_ids: list[bytes], score: float = 1.0) -> Candidates:
    scores = np.full((1, len(item_ids)), score, np.float32)
    ids = np.array([item_ids], object)
    return Candidates(ids, ids, scores, scores, scores, np.full(len(ids), b"history", object), *NO_OBJECTIVE)


REQUEST = Request("u", [Event("i1")])


def test_equal_answers_pass() -> None:
    assert infra_validator.judge([REQUEST], answer([b"i2"]), answer([b"i2"])) == []


def test_two_items_of_one_retrieval_score_may_change_places_and_keep_their_own() -> None:
    found = answer([b"i2", b"i3", b"i4"])
    local = dataclasses.replace(found, scores=np.array([[3.0, 2.0, 1.0]], np.float32))
    swapped = dataclasses.replace(local, item_ids=local.item_ids[:, [1, 0, 2]], scores=local.scores[:, [1, 0, 2]])
    assert infra_validator.judge([REQUEST], swapped, local) == []
    mixed_up = dataclasses.replace(local, item_ids=swapped.item_ids)
    assert infra_validator.judge([REQUEST], mixed_up, local) == [
        "scores over gRPC differ from those in process by 3.3e-01 of the largest"  # 1 of 3.
    ]


@pytest.mark.parametrize(
    ("largest", "difference", "passes"),
    [
        (0.2, 1.1e-5, True),  # Of numbers below 1, 2^-15 = 3.05e-5.
        (0.2, 4e-5, False),
        (20.0, 5e-4, True),  # 20 / 2^15 = 6.1e-4: as many ulps, which are 32 times as large from 16 on.
        (20.0, 7e-4, False),
    ],
)
def test_scores_may_differ_by_what_float32_holds_of_the_largest(
    largest: float, difference: float, passes: bool
) -> None:
    nothing = np.finfo(np.float32).min  # The score of a place without an item says nothing of the scale.
    scores = np.array([[largest, 0.1, nothing]], np.float32)
    ids = np.array([[b"i2", b"i3", b""]], object)
    local = Candidates(
        ids, ids, scores, scores, np.full((1, 3), 0.5, np.float32), np.array([b"history"], object), *NO_OBJECTIVE
    )
    for name in ("retrieval_scores", "scores"):
        other = scores + np.array([[0, difference, 0]], np.float32)
        served = dataclasses.replace(local, **{name: other})
        assert (infra_validator.judge([REQUEST], served, local) == []) is passes
    pages = (
        [Recommendation(i, i, score, 0.5) for i, score in (("i2", largest), ("i3", 0.1 + d))] for d in (0, difference)
    )
    expected, page = pages
    assert (infra_validator.judge_pages([REQUEST], [page], [expected]) == []) is passes


def test_other_items_are_a_reason_unless_they_stand_at_the_end() -> None:
    local = answer([b"i2", b"i3"])
    local = dataclasses.replace(local, retrieval_scores=np.array([[2.0, 1.0]], np.float32))
    other_end = dataclasses.replace(local, item_ids=np.array([[b"i2", b"i9"]], object))
    assert infra_validator.judge([REQUEST], other_end, local) == []
    other_first = dataclasses.replace(local, item_ids=np.array([[b"i9", b"i3"]], object))
    (reason,) = infra_validator.judge([REQUEST], other_first, local)
    assert "retrieval_scores over gRPC differ from those in process by 5.0e-01 of the largest" in reason  # 1 of 2.


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (answer([b"i2"], np.nan), "not all finite"),
        (answer([b"i2"], 1.01), r"differ from those in process by 1\.0e-02"),
        (answer([b""]), "'u' got no candidates"),
        (answer([b"i1"]), r"'u' got items of the own history: \['i1'\]"),
    ],
)
def test_what_a_caller_must_not_get_is_a_reason(served: Candidates, reason: str) -> None:
    import re

    local = answer(served.item_ids[0].tolist())
    assert any(re.search(reason, found) for found in infra_validator.judge([REQUEST], served, local))


def test_a_fused_model_of_other_parts_is_a_reason() -> None:
    page, other = ([Recommendation("i2", "t", score, 0.5)] for score in (1.0, 1.1))
    assert infra_validator.judge_pages([REQUEST], [page], [page]) == []
    for wrong in (other, []):
        (reason,) = infra_validator.judge_pages([REQUEST], [wrong], [page])
        assert "other scores from `recommend`" in reason


@pytest.fixture
def inputs(tmp_path: pathlib.Path, toy_models: dict[str, pathlib.Path]) -> infra_validator.Inputs:
    graph, examples = TransformGraph(tmp_path / "graph"), Examples(tmp_path / "examples")
    sequences = toy_sequences(3, num_history=2)
    transformed.save_catalogue(graph, toy_catalogue())
    transformed.save_request(graph, vars(sequences))
    transformed.save_sequences(examples, "eval", sequences)
    models = (Model(toy_models[name]) for name in ("retrieval", "ranking", "fused"))
    bert = PretrainedBert(tmp_path / "bert")
    bert.write_json("texts.json", {"tensors": 23, "tensors_changed": 21, "arms": {}})
    return infra_validator.Inputs(graph, examples, *models, bert)


def test_models_are_served_and_asked_over_grpc(
    inputs: infra_validator.Inputs, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A proxy that leads nowhere is none of the gate's business: its server is on this machine.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    blessing = InfraBlessing(tmp_path / "blessing")
    summary = infra_validator.run(inputs, infra_validator.Outputs(blessing), infra_validator.Config())
    assert blessing.reasons() == []
    assert summary == "4 requests answered over gRPC; 21 of 23 tensors of BERT are fine-tuned"
    for model in ("retrieval", "ranking", "fused"):
        logs = [PredictionLog.FromString(record) for record in read_records(blessing.warmup_file(model))]
        # Single requests first, so that a model is warm for these before it meets a batch.
        assert [
            len(log.predict_log.request.inputs["history" if model != "ranking" else "candidates"].string_val) > 0
            for log in logs[:1]
        ] == [True]
        assert {log.predict_log.request.model_spec.name for log in logs} == {model}


def test_warm_up_requests_are_nobodys(inputs: infra_validator.Inputs, tmp_path: pathlib.Path) -> None:
    blessing = InfraBlessing(tmp_path / "blessing")
    infra_validator.run(inputs, infra_validator.Outputs(blessing), infra_validator.Config(num_warmup_requests=3))
    sequences = toy_sequences(3, num_history=2)
    names = [item_id.decode() for item_id in toy_catalogue().item_ids]
    real = [[names[item] for item in sequences.item_index[start : start + 2]] for start in sequences.row_splits[:-1]]
    logs = [PredictionLog.FromString(record) for record in read_records(blessing.warmup_file("fused"))]
    shapes, asked = [], []
    for log in logs:
        history = log.predict_log.request.inputs["history"]
        rows, width = (int(axis.size) for axis in history.tensor_shape.dim)
        shapes.append(rows)
        items = [item.decode() for item in history.string_val]
        asked += [[item for item in items[width * row : width * (row + 1)] if item] for row in range(rows)]
    assert sorted(shapes) == [1, 1, 1, 3]  # Each alone, and all at once.
    assert sorted({len(history) for history in asked}) == [0, 1, 3]
    assert not any(history[: len(person)] == person for history in asked for person in real)


def test_a_model_that_no_server_can_load_is_refused(inputs: infra_validator.Inputs, tmp_path: pathlib.Path) -> None:
    import shutil

    broken = Model(tmp_path / "broken")
    shutil.copytree(inputs.ranking_model.path, broken.path)
    # The server reads the variables; this process has them open already.
    local = dataclasses.replace(inputs, ranking_model=broken)
    (broken.serving_dir / "assets.extra").mkdir()
    (broken.serving_dir / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no TFRecord")
    blessing = InfraBlessing(tmp_path / "blessing")
    infra_validator.run(local, infra_validator.Outputs(blessing), infra_validator.Config())
    assert "the model server ended with status 255: " in blessing.reasons()[0]


class Killed(GrpcPredictor):
    """Whose server is killed before it is asked, as one without enough memory is."""

    server: subprocess.Popen[bytes]

    def predict(self, *asked: Any) -> dict[str, Any]:
        self.server.kill()
        return super().predict(*asked)


@pytest.mark.parametrize("fault", ["slow start", "killed at its start", "killed when asked", "a taken port"])
def test_what_befalls_the_server_is_no_verdict_on_the_models(
    fault: str, inputs: infra_validator.Inputs, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*command: Any, **options: Any) -> subprocess.Popen[bytes]:
        Killed.server = subprocess.Popen(*command, **options)
        if fault == "killed at its start":
            Killed.server.kill()
        return Killed.server

    config = infra_validator.Config(start_seconds=0.1 if fault == "slow start" else 120)
    monkeypatch.setattr(process, "subprocess", types.SimpleNamespace(**vars(subprocess) | {"Popen": started}))
    if fault == "killed when asked":
        monkeypatch.setattr(infra_validator, "GrpcPredictor", Killed)
    blessing = InfraBlessing(tmp_path / "blessing")
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        if fault == "a taken port":
            monkeypatch.setattr(process, "free_port", lambda: stranger.getsockname()[1])
        with pytest.raises(process.ServerError) as raised:
            infra_validator.run(inputs, infra_validator.Outputs(blessing), config)
    assert type(raised.value) is process.ServerError, raised.value
    assert not blessing.path.exists()
