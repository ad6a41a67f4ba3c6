"""The gateway's HTTP against its own OpenAPI, by Schemathesis: requests that it allows, and others."""

import pathlib
import sys

import pytest

from tests.serving.gateway.conftest import home, models, root  # noqa: F401  Fixtures.
from tests.serving.gateway.toy import Gateway
from tests.serving.strangers import workshop

pytestmark = pytest.mark.strangers

# A schema cannot say that a user and a session exclude each other; and events are judged one by one, within a 200.
SETTINGS = """
[checks]
positive_data_acceptance.enabled = false
[[operations]]
include-path-regex = "^/(v1/(events|track|batch)|ubi_events)"
checks.negative_data_rejection.enabled = false
"""


def test_requests_made_from_the_schema_are_answered_as_it_says(
    home: Gateway,  # noqa: F811
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "schemathesis.toml").write_text(SETTINGS, encoding="utf-8")
    said = workshop.run(
        *(sys.executable, "-c", "import schemathesis.cli; schemathesis.cli.schemathesis()"),
        *("--config-file", tmp_path / "schemathesis.toml", "run", f"http://127.0.0.1:{home.port}/openapi.json"),
        *("--max-examples", "100", "--seed", "1"),
        cwd=tmp_path,
    )
    assert "15 selected / 15 total" in said and "Tested: 15" in said, said
