"""A namespace is emptied in order: pods first, and nothing else until the last of them is gone (KEP-5080)."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api import errors, meta
from keelson.client.rest import Client
from keelson.kube_controller_manager.controllers.namespace import NamespaceController
from tests.contracts.conftest import Eventually

from .conftest import Controlling

pytestmark = pytest.mark.lab

POD = {
    "metadata": {"name": "held", "finalizers": ["example.com/hold"]},
    "spec": {"containers": [{"name": "c", "image": "none"}]},
}


async def test_pods_go_before_what_they_use(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    await client.create("pods", POD, namespace=namespace)
    await client.create("configmaps", {"metadata": {"name": "used"}}, namespace=namespace)
    await client.delete("namespaces", namespace)

    async def told() -> list[dict[str, Any]]:
        return meta.conditions(await client.get("namespaces", namespace))

    async def is_gone() -> bool:
        try:
            await client.get("namespaces", namespace)
        except errors.StatusError as error:
            return error.code == 404
        return False

    async with controlling(NamespaceController):
        conditions = {each["type"]: each for each in await eventually(told)}
        assert conditions["NamespaceContentRemaining"]["message"] == (
            "Some resources are remaining: pods has 1 resource instances"
        )
        assert conditions["NamespaceDeletionContentFailure"]["status"] == "False"
        assert (await client.get("configmaps", "used", namespace=namespace))["metadata"]["name"] == "used"
        await client.patch("pods", "held", {"metadata": {"finalizers": None}}, namespace=namespace)
        assert await eventually(is_gone)
