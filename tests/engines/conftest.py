from collections.abc import Iterator

import pytest

from tests.engines.clusters import ENGINES, Cluster


@pytest.fixture(scope="module", params=list(ENGINES))
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Each engine in turn, with its worker processes."""
    with (
        ENGINES[request.param](tmp_path_factory.mktemp(request.param)) as running,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in running.environment.items():
            patch.setenv(name, value)
        yield running
