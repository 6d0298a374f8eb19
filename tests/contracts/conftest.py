"""What suites against a real API server share: an administrator's client, and a namespace of a test's own.

Each suite has a `cluster` of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from keelson.client import kubeconfigs
from keelson.client.rest import Client
from tests import waits
from tests.contracts.kube_apiserver.api_servers import Cluster

Eventually = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]

_counter = itertools.count()


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
def eventually() -> Eventually:
    """Ask until the answer is true, and return it; what was asked last is shown where it never is."""

    async def ask(question: Callable[[], Awaitable[Any]]) -> Any:
        # Daemons act when they act: nothing tells a client of it but the objects.
        return await waits.until(question)

    return ask
