"""The whole pipeline, once, on a simulated store; what is asked of it afterwards costs little."""

import json
import pathlib
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import Examples, TransformGraph
from homefeed.models.hot.blend import Blend
from homefeed.models.requests import Event, Request
from homefeed.pipeline.cli.main import app
from homefeed.pipeline.datasets.sample import write_sample
from homefeed.serving.predictors import GrpcPredictor, LocalPredictor
from homefeed.serving.process import model_server
from homefeed.serving.profiles import FILE_NAME, ProfileStore
from homefeed.serving.recommender import Recommender, num_candidates_of
from tests.runs import ASKED_AT, executed, run_small


@pytest.fixture(scope="module")
def sample_root(sample_root: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A copy for what runs again and pushes."""
    return pathlib.Path(shutil.copytree(sample_root, tmp_path_factory.mktemp("again") / "root"))


@pytest.fixture(scope="module")
def serving_dir(sample_root: pathlib.Path) -> pathlib.Path:
    return sample_root / "serving"


@pytest.fixture(scope="module")
def profiles(serving_dir: pathlib.Path) -> ProfileStore:
    return ProfileStore(serving_dir / FILE_NAME)


@pytest.fixture(scope="module")
def local(serving_dir: pathlib.Path) -> Recommender:
    return Recommender(LocalPredictor({name: serving_dir / name / "1" for name in ("retrieval", "ranking")}), 100)


def items(recommender: Recommender, request: Request) -> list[str]:
    return [place.item_id for place in recommender.recommend([request], k=10)[0]]


def test_a_second_run_executes_nothing(sample_data: pathlib.Path, sample_root: pathlib.Path) -> None:
    assert executed(run_small(sample_data, sample_root)) == []


def test_a_ranking_option_reruns_ranking_and_what_follows(
    sample_data: pathlib.Path, sample_root: pathlib.Path
) -> None:
    # Not up to the Pusher: the other tests ask what was pushed first.
    steps = run_small(sample_data, sample_root, "ranking_trainer.learning_rate=0.001", until="infra_validator")
    assert executed(steps) == ["RankingTrainer", "Fuser", "Evaluator", "InfraValidator"]


def test_reasons_of_the_trained_models_are_what_their_lists_depend_on(sample_root: pathlib.Path) -> None:
    told = json.loads((_only(sample_root, "Evaluator/*/evaluation") / "evaluation.json").read_text())["faithfulness"]
    assert told["users"] >= 8 and told["more_than_random"] >= 0.8
    assert told["named"] > 0 and told["named"] >= 5 * told["random"]
    assert all(np.array(told["deletion"])[:3] > np.array(told["deletion_randomly"])[:3])
    assert told["shapley_users"] >= 1


def test_as_many_candidates_as_are_asked_for_are_judged_and_served(
    sample_data: pathlib.Path, sample_root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    settings = ("fuser.num_candidates=10", f"pusher.serving_dir={tmp_path}")
    steps = run_small(sample_data, sample_root, *settings)
    assert executed(steps) == ["Fuser", "Evaluator", "InfraValidator", "Pusher", "BulkInferrer"]
    assert num_candidates_of(tmp_path / "fused" / "1") == 10
    served = Recommender.of_saved_model(tmp_path / "fused" / "1").candidates([Request("nobody")])
    assert served.item_ids.shape == (1, 10) and np.isfinite(served.retrieval_scores).all()
    # Of 60 items, 100 candidates find everything. Of 10, what is not among the first 10 was not found at all.
    (ten,) = (step.outputs["evaluation"] for step in steps if step.component == "Evaluator")
    figures = [
        json.loads((place / "metrics.json").read_text())["test"]["retrieval + ranking"]
        for place in (_only(sample_root, "Evaluator/*/evaluation"), ten)
    ]
    assert figures[0]["recall@100"] == 1.0
    assert 0 < figures[1]["recall@100"] == figures[1]["hr@10"] < 1.0


def test_users_get_different_pages_without_what_they_have_had(local: Recommender, profiles: ProfileStore) -> None:
    requests = [profiles.get(user) for user in profiles.user_ids()]
    pages = local.recommend(requests, k=10)
    assert len({tuple(place.item_id for place in page) for page in pages}) > len(pages) / 2
    for request, page in zip(requests, pages, strict=True):
        assert page and {p.item_id for p in page}.isdisjoint(event.item_id for event in request.history)


def test_another_history_gives_another_page(local: Recommender, profiles: ProfileStore) -> None:
    stored = profiles.get(next(profiles.user_ids()))
    other = Request(stored.user_id, [Event(item) for item in items(local, stored)[:3]], stored.features)
    assert items(local, other) != items(local, stored)


def test_an_unknown_user_without_history_is_served(local: Recommender) -> None:
    assert len(items(local, Request("nobody knows me"))) == 10


def test_titles_come_in_both_languages(local: Recommender, profiles: ProfileStore) -> None:
    pages = local.recommend([profiles.get(user) for user in profiles.user_ids()], k=10)
    titles = [place.title for page in pages for place in page]
    assert any("\u4e00" <= c <= "\u9fff" for title in titles for c in title)
    assert any(title.isascii() for title in titles)


def test_scores_over_grpc_are_those_in_process(
    serving_dir: pathlib.Path, local: Recommender, profiles: ProfileStore, tmp_path: pathlib.Path
) -> None:
    requests = [profiles.get(user) for user in profiles.user_ids()] + [Request("new")]
    expected = local.candidates(requests)
    with model_server({name: serving_dir / name for name in ("retrieval", "ranking")}, tmp_path) as address:
        served = Recommender(GrpcPredictor(address), 100).candidates(requests)
    np.testing.assert_array_equal(served.item_ids, expected.item_ids)
    for name in ("retrieval_scores", "scores", "probabilities"):
        np.testing.assert_allclose(getattr(served, name), getattr(expected, name), atol=1e-5)


def test_what_happens_in_test_reaches_no_vocabulary_model_or_blessing(
    sample_data: pathlib.Path, sample_root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    data, root = tmp_path / "data", tmp_path / "root"
    data.mkdir()
    for file in sample_data.iterdir():
        (data / file.name).write_bytes(file.read_bytes())
    assert _replace_test_items(data / "interactions.csv", _test_cut(sample_root)) > 10
    run_small(data, root)
    for artifact in ("Transform/*/transform_graph", "Evaluator/*/blessing"):
        assert _digest(root, artifact) == _digest(sample_root, artifact), artifact
    for ours, theirs in zip(_bert_weights(root), _bert_weights(sample_root), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    hot, expected_hot = (Blend.read(place / "serving" / "retrieval" / "1") for place in (root, sample_root))
    assert hot.weights == expected_hot.weights and hot.weights.keys() > Blend().weights.keys()
    requests = [ProfileStore(sample_root / "serving" / FILE_NAME).get(f"user-000{digit}") for digit in range(5)]
    leaked, clean = (
        Recommender(LocalPredictor({n: place / "serving" / n / "1" for n in ("retrieval", "ranking")}), 100)
        for place in (root, sample_root)
    )
    found, expected = leaked.candidates(requests), clean.candidates(requests)
    np.testing.assert_array_equal(found.item_ids, expected.item_ids)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


def _bert_weights(root: pathlib.Path) -> list[np.ndarray]:
    from homefeed.models.text.bert import load_bert

    return load_bert(str(_only(root, "BehaviorPretrainer/*/bert"))).get_weights()


def _test_cut(root: pathlib.Path) -> int:
    """The first second of the test split."""
    graph, examples = (_only(root, f"Transform/*/{name}") for name in ("transform_graph", "examples"))
    test = transformed.load_sequences(TransformGraph(graph), Examples(examples), "test")
    return int(test.timestamp[test.targets].min())


def _replace_test_items(interactions: pathlib.Path, cut: int) -> int:
    header, *lines = interactions.read_text(encoding="utf-8").splitlines()
    columns = header.split(",")
    item, timestamp = columns.index("item_id"), columns.index("timestamp")
    rows = [line.split(",") for line in lines]
    other = rows[0][item]
    replaced = [row for row in rows if int(row[timestamp]) >= cut and row[item] != other]
    for row in replaced:
        row[item] = other
    text = "\n".join([header, *(",".join(row) for row in rows)])
    interactions.write_text(text + "\n", encoding="utf-8")
    return len(replaced)


def _only(root: pathlib.Path, pattern: str) -> pathlib.Path:
    return max((root / "artifacts").glob(pattern), key=lambda path: -path.stat().st_mtime)


def _digest(root: pathlib.Path, pattern: str) -> str:
    return TransformGraph(_only(root, pattern)).digest()


def test_batch_recommend_writes_a_line_a_user(sample_root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    users, out = tmp_path / "users.jsonl", tmp_path / "out.jsonl"
    history = ["item-0001", "item-0002"]
    rows = [{"user_id": "user-0001"}, {"user_id": "nobody", "history": history}, {"user_id": "nobody"}]
    users.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["--root", str(sample_root), "--users", str(users), "--k", "7", "--out", str(out)]
    result = CliRunner().invoke(app, ["batch-recommend", *arguments])
    assert result.exit_code == 0, result.output
    written = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["user_id"] for row in written] == ["user-0001", "nobody", "nobody"]
    assert [len(row["items"]) for row in written] == [7, 7, 7]
    assert not {*history} & {*written[1]["items"]}
    assert written[1]["items"] != written[2]["items"]


def test_recommend_prints_titles_beside_the_history(sample_root: pathlib.Path, profiles: ProfileStore) -> None:
    arguments = ["recommend", "--root", str(sample_root), "--user", "user-0001"]
    shown = CliRunner().invoke(app, [*arguments, "--json"])
    places = json.loads(shown.stdout)["recommendations"]
    assert len(places) == 10
    table = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments).stdout
    # A title may stand in two lines: how wide the console is was settled when it was made.
    assert "For user user-0001" in table and places[0]["title"].split()[0] in table
    newest = profiles.get("user-0001").history[-1].item_id
    assert profiles.titles([newest])[0].split()[0] in table


def test_evaluate_prints_every_method_and_the_verdict(sample_root: pathlib.Path) -> None:
    shown = json.loads(CliRunner().invoke(app, ["evaluate", "--root", str(sample_root), "--json"]).stdout)
    assert shown["blessed"] and shown["metrics"].keys() == {"eval", "test"}
    rivals = {"popularity", "content alone", "text alone", "EASE"}
    assert shown["metrics"]["test"].keys() == rivals | {"retrieval", "retrieval + ranking"}


def test_lineage_names_the_components_behind_the_pushed_models(sample_root: pathlib.Path) -> None:
    shown = CliRunner().invoke(app, ["lineage", "--root", str(sample_root), "--json"]).stdout
    for component in ("Pusher", "RankingTrainer", "RetrievalTrainer", "BehaviorPretrainer", "ExampleGen"):
        assert f'"component": "{component}"' in shown


def test_bulk_grpc_and_trainers_models_give_the_same_lists(
    sample_root: pathlib.Path, serving_dir: pathlib.Path, profiles: ProfileStore, tmp_path: pathlib.Path
) -> None:
    assert check_skew(sample_root, serving_dir, profiles, tmp_path) == len(list(profiles.user_ids()))


def test_what_is_not_there_yet_is_in_no_list(sample_data: pathlib.Path, sample_root: pathlib.Path) -> None:
    items = pd.read_csv(sample_data / "items.csv", parse_dates=["available_from"])
    early, before = "2025-01-09", items["available_from"].fillna(pd.Timestamp(0, tz="UTC"))
    late = set(items["item_id"][before > pd.Timestamp(early, tz="UTC")])
    users = sample_root / "users.jsonl"
    # Without a history, so that no list lacks what was there already.
    users.write_text(json.dumps({"user_id": "user-0001", "history": []}) + "\n")

    def listed(*at: str) -> list[set[str]]:
        out = sample_root / "lists.jsonl"
        batch = ["batch-recommend", "--root", str(sample_root), "--users", str(users), "--out", str(out), "-k", "60"]
        one = ["recommend", "--root", str(sample_root), "--user", "user-0001", "--history", "", "-k", "60", "--json"]
        assert CliRunner().invoke(app, [*batch, *at]).exit_code == 0
        shown = json.loads(CliRunner().invoke(app, [*one, *at]).stdout)["recommendations"]
        return [set(json.loads(out.read_text())["items"]), {place["item_id"] for place in shown}]

    assert late and listed() == [set(items["item_id"])] * 2
    assert listed("--at", early) == [set(items["item_id"]) - late] * 2
    milliseconds = str(pd.Timestamp(early, tz="UTC").value // 10**6)
    assert listed("--at", milliseconds) == [set(items["item_id"]) - late] * 2
    wrong = CliRunner().invoke(app, ["recommend", "--root", str(sample_root), "--user", "u", "--at", "soon"])
    assert wrong.exit_code == 2 and "expected a time such as" in wrong.output
    steps = run_small(sample_data, sample_root, f"bulk_inferrer.at={early}", "bulk_inferrer.k=60")
    assert executed(steps) == ["BulkInferrer"]
    (bulk,) = (step.outputs["recommendations"] for step in steps if step.component == "BulkInferrer")
    lists = [json.loads(line)["items"] for file in bulk.glob("*.jsonl") for line in file.read_text().splitlines()]
    assert len(lists) == 40 and not set().union(*lists) & late


@pytest.mark.slow
def test_a_thousand_requests_have_the_same_answers_everywhere(tmp_path: pathlib.Path) -> None:
    data, root = tmp_path / "data", tmp_path / "root"
    write_sample(data, num_users=1_000, num_items=150, num_events=12_000)
    run_small(data, root, "retrieval_trainer.epochs=1")
    serving = root / "serving"
    assert check_skew(root, serving, ProfileStore(serving / FILE_NAME), tmp_path) >= 1_000


def check_skew(root: pathlib.Path, serving: pathlib.Path, profiles: ProfileStore, tmp_path: pathlib.Path) -> int:
    """How many users' lists from Beam are those over gRPC and those of the trainers' models."""
    written = sorted(_only(root, "BulkInferrer/*/recommendations").glob("*.jsonl"))
    bulk = {row["user_id"]: row for file in written for row in map(json.loads, file.read_text("utf-8").splitlines())}
    assert bulk.keys() == set(profiles.user_ids())
    requests = [profiles.get(user, ASKED_AT) for user in bulk]
    trained = {
        name: _only(root, f"{component}/*/model") / "Format-Serving"
        for name, component in (("retrieval", "RetrievalTrainer"), ("ranking", "RankingTrainer"))
    }
    pages = {"trainer": Recommender(LocalPredictor(trained), 100).recommend(requests)}
    with model_server({"fused": serving / "fused"}, tmp_path) as address:
        served = Recommender(GrpcPredictor(address))
        pages["gRPC"] = [served.recommend([request])[0] for request in requests]
    for where, found in pages.items():
        for row, page in zip(bulk.values(), found, strict=True):
            scores = [place.score for place in page]
            np.testing.assert_allclose(row["scores"], scores, atol=1e-5, err_msg=where)
            assert sorted(row["items"]) == sorted(place.item_id for place in page)
    return len(bulk)
