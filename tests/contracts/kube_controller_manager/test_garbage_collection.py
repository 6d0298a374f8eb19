"""Garbage collection on a real server: what foreground deletion takes along, circles included."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.api import meta
from keelson.client.rest import Client
from keelson.kube_controller_manager.controllers.garbage_collector import GarbageCollector
from tests.contracts.conftest import Eventually

from .conftest import Controlling

pytestmark = pytest.mark.lab


async def test_objects_that_own_each_other_in_a_circle_all_go(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    names = ("one", "two", "three")
    made = {
        name: await client.create("configmaps", {"metadata": {"name": name}}, namespace=namespace) for name in names
    }
    for name, owner in zip(names, ("three", "one", "two"), strict=True):
        reference: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": owner,
            "uid": meta.uid(made[owner]),
        }
        reference |= {"controller": True, "blockOwnerDeletion": True}
        await client.patch("configmaps", name, {"metadata": {"ownerReferences": [reference]}}, namespace=namespace)

    async def are_gone() -> bool:
        return not (await client.list("configmaps", namespace=namespace))["items"]

    async with controlling(GarbageCollector):
        await client.delete("configmaps", "one", namespace=namespace, propagation_policy="Foreground")
        assert await eventually(are_gone)
