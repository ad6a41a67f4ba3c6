import pathlib

import pytest

from homefeed.pipeline.config import ConfigError, load_config
from tests.pipeline.toys import count_gen, sum_gate
from tests.pipeline.toys.pipeline import toy_dag


def test_settings_win_over_the_file_and_the_file_over_the_place(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("sum_gate: {limit: 5, fail: true}\ncount_gen:\n")
    configs = load_config(
        toy_dag(tmp_path), file, ["sum_gate.limit=6"], {"sum_gate": {"limit": 4}, "count_gen": {"factor": 9}}
    )
    assert configs["sum_gate"] == sum_gate.Config(limit=6, fail=True)
    assert configs["count_gen"] == count_gen.Config(factor=9)


def test_every_mistake_is_named_at_once_with_the_near_miss(tmp_path: pathlib.Path) -> None:
    settings = ["sum_gat.limit=1", "count_gen.facto=2", "sum_gate.limit=many"]
    with pytest.raises(ConfigError) as error:
        load_config(toy_dag(tmp_path), settings=settings)
    message = str(error.value)
    assert "no component 'sum_gat'; did you mean 'sum_gate'?" in message
    assert "count_gen has no field 'facto'; did you mean 'factor'?" in message
    assert "sum_gate.limit" in message and "'many'" in message


@pytest.mark.parametrize("setting", ["limit=5", "sum_gate.limit", ".limit=5", "sum_gate.=5"])
def test_a_setting_of_another_form_is_refused(setting: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"should read component\.field=value"):
        load_config(toy_dag(tmp_path), settings=[setting])


@pytest.mark.parametrize("text", ["- a list", "sum_gate: 5", "a: [unclosed"])
def test_a_file_of_another_form_is_refused(text: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        load_config(toy_dag(tmp_path), tmp_path / "config.yaml")


def test_a_missing_file_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration file .*absent\.yaml"):
        load_config(toy_dag(tmp_path), tmp_path / "absent.yaml")


@pytest.mark.parametrize("span", ["7", "2025-01-08", "7,8"])
def test_a_span_is_named_by_a_number_or_a_date(span: str, tmp_path: pathlib.Path) -> None:
    from homefeed.components.artifacts.types import DatasetDir
    from homefeed.pipeline.recommender import recommender

    configs = load_config(recommender(DatasetDir(tmp_path)), settings=[f"example_gen.spans={span}"])
    assert configs["example_gen"].spans == span
