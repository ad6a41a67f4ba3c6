"""`homefeed run`, as somebody types it: wrong settings end before anything runs."""

import pathlib

import pytest

from homefeed.components.beam.settings import RUNNERS
from homefeed.pipeline.datasets.sample import write_sample
from tests.pipeline.command import homefeed


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("data")
    write_sample(folder, num_users=20, num_items=40, num_events=150, seed=1)
    return folder


SPANS = "spans such as 7, 3:7, 3:, last:3, or several with commas"
WRONG = [  # Field, value, what was expected.
    ("retrieval_trainer.learning_rate", "-1", "a number above 0 and up to 1"),
    ("retrieval_trainer.dropout", "7", "a number from 0 and below 1"),
    ("retrieval_trainer.event_weights", "{click: -1}", "a mapping such as {x: 1}, of names to a number from 0"),
    ("ranking_trainer.batch_size", "0", "a whole number from 1"),
    ("retrieval_trainer.index", "exakt", "one of auto, exact, partitioned"),
    ("example_gen.shard_megabytes", "0", "a whole number from 1"),
    ("example_gen.spans", "1:2:3", SPANS),
    ("example_gen.user_key", "no", "env:NAME or file:PATH of a key that is there"),
    ("transform.bert_preset", "/nowhere", "a KerasNLP preset, or a folder that is there"),
    ("bulk_inferrer.beam_options", "project", "a list such as [x, y], each text"),
    ("bulk_inferrer.runner", "Nope", f"one of {', '.join(RUNNERS)}, or module.Class"),
    ("evaluator.base_models", "/nowhere", "a folder that is there, or nothing"),
    ("fuser.num_candidates", "5", "a whole number from 10 and up to 2,000"),
    ("pusher.canary", "maybe", "true or false"),
]
AGAINST_A_RULE = {
    "ranking_trainer.width=65": "ranking_trainer.width should be a multiple of num_heads (2), such as 64, got 65\n",
    "behavior_pretrainer.width=200": "behavior_pretrainer.width should be a multiple of 64, or smaller",
    "bulk_inferrer.beam_options=[a=b]": "bulk_inferrer.beam_options: expected --name or --name=value, got 'a=b'",
    "example_validator.allowed=[value]": "example_validator.allowed: expected table.feature, such as ",
    "retrieval_trainer.epoch=3": "retrieval_trainer has no field 'epoch'; did you mean 'epochs'?",
    "retrieval.epochs=3": "no component 'retrieval'",
    "epochs=3": "'epochs=3' should read component.field=value",
}
SETTINGS = {
    f"{name}={value}": f"{name}: expected {form}, got {value!r}\n" for name, value, form in WRONG
} | AGAINST_A_RULE


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_wrong_setting_ends_before_anything_runs(
    setting: str, data: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    assert homefeed("run", "--data", str(data), "--root", str(root), "--set", setting) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"ConfigError: {SETTINGS[setting]}") and said.err.count("\n") == 1
    assert "Traceback" not in said.err and "pydantic" not in said.err
    assert said.out == "" and not root.exists()


def test_all_mistakes_are_told_at_once_those_of_a_file_too(
    data: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "retrieval_trainer: {dropout: 7, width: 65}\nfuser: {num_candidate: 9}\nshop:\n", encoding="utf-8"
    )
    options = [
        part for setting in ("ranking_trainer.batch_size=0", "example_gen.spans=::") for part in ("--set", setting)
    ]
    root = str(tmp_path / "root")
    assert homefeed("run", "--data", str(data), "--root", root, "--config", str(config), *options) == 2
    lines = capsys.readouterr().err.removeprefix("ConfigError: ").splitlines()
    assert sorted(line.split(" ")[0].rstrip(":") for line in lines) == [
        "example_gen.spans",
        "fuser",
        "no",  # no component 'shop'
        "ranking_trainer.batch_size",
        "retrieval_trainer.dropout",
        "retrieval_trainer.width",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--until", "Nope"), 2, "--until: there is no component 'Nope'"),
        (("--config", "absent.yaml"), 2, "there is no configuration file absent.yaml"),
        (
            ("--metadata", "mysql://user:secret@127.0.0.1:1/x"),
            1,
            "the metadata mysql://127.0.0.1:1/x cannot be opened",
        ),
        (("--metadata", "{tmp}"), 1, "cannot be opened"),
        (("--root", "{tmp}/file"), 1, "file"),
        (("--data", "{tmp}"), 1, "dataset.yaml does not exist"),
        (("--data", "{tmp}/file"), 1, "dataset.yaml does not exist"),
    ],
)
def test_what_else_can_be_typed_wrongly_ends_in_a_line(
    arguments: tuple[str, str],
    code: int,
    said: str,
    data: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("not a folder")
    given = {"--data": str(data), "--root": str(tmp_path / "root"), "--until": "example_gen"}
    given |= {arguments[0]: arguments[1].replace("{tmp}", str(tmp_path))}
    assert homefeed("run", *(part for pair in given.items() for part in pair)) == code
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err and "secret" not in err


def test_text_that_yaml_would_read_as_something_else_arrives_as_it_was_typed(
    data: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Spans of a table that has none are all of it; the key is missing, and is named as it was typed."""
    arguments = ("run", "--data", str(data), "--root", str(tmp_path / "root"), "--until", "example_gen", "--json")
    assert homefeed(*arguments, "--set", "example_gen.spans=3:7") == 0
    capsys.readouterr()
    assert homefeed("lineage", "--root", str(tmp_path / "root"), "Examples", "--json") == 0
    assert '"spans": "3:7"' in capsys.readouterr().out
