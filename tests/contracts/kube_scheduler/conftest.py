"""The scheduler against a real API server, with the rights that upstream's role grants it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from keelson.client import kubeconfigs
from keelson.client.rest import Client
from keelson.kube_scheduler.schedulers import Scheduler
from tests import background
from tests.contracts.kube_apiserver.api_servers import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
async def scheduler(cluster: Cluster) -> AsyncIterator[None]:
    """A scheduler that runs in the test's own loop."""
    config = kubeconfigs.load(cluster.kubeconfig("system:kube-scheduler"))
    async with (
        background.farewells(),
        Client(config, user_agent="kube-scheduler") as client,
        background.running(Scheduler(client, name="default-scheduler").run()),
    ):
        yield
