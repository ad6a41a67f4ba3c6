import pytest

from tests.serving.log.cluster import Cluster


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def log(cluster: Cluster) -> str:
    """The URL of an empty log."""
    return cluster.new_log()
