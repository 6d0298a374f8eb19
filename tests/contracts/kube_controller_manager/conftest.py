"""Controllers against a real API server: `controlling` runs the ones that a test names, in the test's own loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest

from keelson.api import meta
from keelson.api.errors import StatusError
from keelson.client import kubeconfigs
from keelson.client.informers import Informer
from keelson.client.rest import Client
from keelson.client.work_queues import WorkQueue, work
from keelson.kube_controller_manager.__main__ import control
from keelson.kube_controller_manager.accounts import AccountClients
from keelson.kube_controller_manager.contexts import Controller, Settings
from tests import background
from tests.contracts.kube_apiserver.api_servers import Cluster

Controlling = Callable[..., AbstractAsyncContextManager[None]]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def controlling(cluster: Cluster) -> Controlling:
    @asynccontextmanager
    async def run(*chosen: type[Controller], settings: Settings | None = None) -> AsyncIterator[None]:
        # As in a cluster, each controller writes with its own account, which may do what upstream's role of it grants.
        config = kubeconfigs.load(cluster.kubeconfig("system:kube-controller-manager"))
        agent = "kube-controller-manager"
        async with (
            background.farewells(),
            Client(config, user_agent=agent) as client,
            AccountClients(client, config, agent=agent) as accounts,
            background.running(control(client, accounts, chosen, settings or Settings())),
        ):
            yield

    return run


@pytest.fixture
async def nodes(client: Client, namespace: str) -> AsyncIterator[None]:
    """What a kubelet would do for the pods of the namespace: each becomes ready once it is seen."""
    informer = Informer(client, "pods", namespace=namespace)
    queue = WorkQueue()
    informer.add_handler(lambda old, new: queue.add(meta.key(new or old or {})))

    async def start(key: str) -> float | None:
        pod = informer.store.get(key)
        if pod is None or meta.is_deleting(pod) or (pod.get("status") or {}).get("phase") != "Pending":
            return None
        now = meta.format_time(datetime.now(UTC))
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
        status = {
            "phase": "Running",
            "startTime": now,
            "conditions": [ready],
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}],
        }
        patch = {"metadata": {"uid": meta.uid(pod)}, "status": status}
        with suppress(StatusError):
            await client.patch("pods", meta.name(pod), patch, namespace=namespace, subresource="status")
        return None

    async with background.farewells(), background.running(informer.run(), work("nodes", queue, start)):
        yield
