"""ServiceCIDRs on a real server: a full network is extended, and what is in use does not go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from keelson.api import meta
from keelson.api.errors import StatusError
from keelson.client.rest import Client
from keelson.kube_controller_manager.controllers.service_cidr import CIDRS, ServiceCidrController
from tests.contracts.conftest import Eventually
from tests.contracts.kube_apiserver.api_servers import Cluster

from .conftest import Controlling

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("small"), ["--service-cluster-ip-range=10.96.0.0/29"]) as found:
        yield found


async def test_a_network_is_added_used_and_kept_while_used(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    async def serve(name: str, **more: Any) -> str:
        spec = {"ports": [{"port": 80}], **more}
        made = await client.create("services", {"metadata": {"name": name, "namespace": namespace}, "spec": spec})
        return str(made["spec"]["clusterIP"])

    async def ready(status: str) -> bool:
        conditions = meta.conditions(await client.get(CIDRS, "more"))
        return [found["status"] for found in conditions if found["type"] == "Ready"] == [status]

    async def gone() -> bool:
        try:
            await client.get(CIDRS, "more")
        except StatusError as error:
            return error.code == 404
        return False

    # One of the six is the API server's own.
    given = [await serve(f"s{index}") for index in range(5)]
    assert all(address.startswith("10.96.0.") for address in given)
    with pytest.raises(StatusError, match="range is full"):
        await serve("late")
    with pytest.raises(StatusError, match="not in the valid range"):
        await serve("late", clusterIP="10.97.0.7")
    async with controlling(ServiceCidrController):
        await client.create(CIDRS, {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.97.0.0/28"]}})
        await eventually(lambda: ready("True"))
        assert (await serve("late")).startswith("10.97.0.")
        assert await serve("named", clusterIP="10.97.0.1") == "10.97.0.1"
        await client.delete(CIDRS, "more")
        await eventually(lambda: ready("False"))
        with pytest.raises(StatusError, match="range is full"):
            await serve("later")
        for name in ("late", "named"):
            await client.delete("services", name, namespace=namespace)
        await eventually(gone)
