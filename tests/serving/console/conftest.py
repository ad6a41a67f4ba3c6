from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from homefeed.schemas.privacy import pseudonym
from homefeed.serving.profiles.wishes import Wishes
from homefeed.serving.releases import Releases
from tests.serving.console.desk import HOSTILE, KEYS, PROMISED, RULES, Desk
from tests.serving.gateway import toy
from tests.serving.gateway.conftest import models, root  # noqa: F401  Fixtures.

SECRET = "a secret of 16 bytes or more"


@pytest.fixture(scope="package")
def desk(nearest: dict[str, pathlib.Path], models: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:  # noqa: F811
    """A gateway without keys, with rules and an experiment, a canary, and a key of pseudonyms."""
    place = tmp_path_factory.mktemp("console")
    (place / "user_key").write_text(SECRET)
    toy.publish(place / "serving", nearest, f"file:{place / 'user_key'}")
    Releases(place / "serving").push(nearest, canary=True)
    (place / "rules.yaml").write_text(RULES)
    (place / "surfaces.yaml").write_text("short: {rows: [for_you], length: 4}\n")
    (place / "experiments.yaml").write_text(
        f"{HOSTILE!r}:\n  arms:\n    control: {{}}\n    short: {{surface: {{length: 6}}}}\n"
    )
    files = [f"--{name}={place / name}.yaml" for name in ("rules", "surfaces", "experiments")]
    with toy.gateway(place, *files, "--budget-ms", "5000", models=models) as gateway:
        yield Desk(gateway, place, lambda user: pseudonym(user, SECRET.encode()))


@pytest.fixture(scope="package")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A gateway with a key of each role, and without models."""
    place = tmp_path_factory.mktemp("keyed")
    toy.publish(place / "serving", {})
    lines = [f"{name}: {{key: {key}, scopes: [{scope}]}}" for name, (key, scope) in KEYS.items()]
    (place / "keys.yaml").write_text("\n".join(lines))
    Wishes(place / "serving").add(PROMISED)  # To an earlier gateway, which died before it was done.
    with toy.gateway(place, "--api-keys", str(place / "keys.yaml")) as gateway:
        yield Desk(gateway, place, str)
