"""The scheduler against a real API server, with the rights that upstream's role grants it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from keelson.client import kubeconfigs
from keelson.client.rest import Client
from keelson.kube_scheduler.schedulers import Scheduler
from tests.contracts.kube_apiserver.api_servers import Cluster

_counter = itertools.count()
_PATIENCE = 20.0
# What is cancelled in mid-request says goodbye by TLS in the background, and nothing tells when it has: time for that,
# or the loop ends before and the interpreter complains of open sockets.
_FAREWELL = 0.2

Eventually = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    async with Client(kubeconfigs.load(str(cluster.folder / "admin.conf")), user_agent="suite") as found:
        yield found


@pytest.fixture
async def namespace(client: Client) -> str:
    name = f"suite-{next(_counter)}"
    await client.create("namespaces", {"metadata": {"name": name}})
    await client.create("serviceaccounts", {"metadata": {"name": "default", "namespace": name}})
    return name


@pytest.fixture
async def scheduler(cluster: Cluster) -> AsyncIterator[None]:
    """A scheduler that runs in the test's own loop."""
    config = kubeconfigs.load(cluster.kubeconfig("system:kube-scheduler"))
    async with Client(config, user_agent="kube-scheduler") as client:
        task = asyncio.create_task(Scheduler(client, name="default-scheduler").run())
        yield
        failed = task.done()
        task.cancel()
        if failed:
            await task
        with suppress(asyncio.CancelledError):
            await task
    await asyncio.sleep(_FAREWELL)


@pytest.fixture
def eventually() -> Eventually:
    """Ask until the answer is true, and return it."""

    async def ask(question: Callable[[], Awaitable[Any]]) -> Any:
        answer = None
        try:
            async with asyncio.timeout(_PATIENCE):
                # The scheduler acts when it acts: nothing tells a client of it but the objects.
                while not (answer := await question()):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"it did not happen within {_PATIENCE:.0f} s")
        return answer

    return ask
