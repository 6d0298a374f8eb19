"""The scheduler against a real API server, with the rights that upstream's role grants it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from keelson.client import kubeconfigs
from keelson.client.rest import Client
from keelson.kube_scheduler.schedulers import Scheduler
from tests import background, waits
from tests.contracts.kube_apiserver.api_servers import Cluster

_PATIENCE = 20.0

Eventually = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


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


@pytest.fixture
def eventually() -> Eventually:
    """Ask until the answer is true, and return it; what was asked last is shown where it never is."""

    async def ask(question: Callable[[], Awaitable[Any]]) -> Any:
        # The scheduler acts when it acts: nothing tells a client of it but the objects.
        return await waits.until(question, seconds=_PATIENCE)

    return ask
