"""Quotas are counted: when they are made, and when what they limit goes away."""

from __future__ import annotations

from typing import Any

import pytest

from keelson.client.rest import Client
from keelson.kube_controller_manager.controllers.resource_quota import ResourceQuotaController
from tests.contracts.conftest import Eventually

from .conftest import Controlling

pytestmark = pytest.mark.lab


async def quota(client: Client, namespace: str, hard: dict[str, str], **spec: Any) -> None:
    body = {"metadata": {"name": "q", "namespace": namespace}, "spec": {"hard": hard, **spec}}
    await client.create("resourcequotas", body)


async def test_usage_follows_what_there_is(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    async def used(wanted: dict[str, str]) -> bool:
        status = (await client.get("resourcequotas", "q", namespace=namespace)).get("status") or {}
        return bool(status.get("used") == wanted)

    await client.create("configmaps", {"metadata": {"name": "before", "namespace": namespace}})
    names = ("pods", "count/pods", "configmaps", "requests.cpu", "count/leases.coordination.k8s.io")
    hard = dict.fromkeys(names, "5")
    async with controlling(ResourceQuotaController):
        await quota(client, namespace, hard)
        empty = {**dict.fromkeys(hard, "0"), "configmaps": "1"}
        await eventually(lambda: used(empty))
        container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1500m"}}}
        pod = {"metadata": {"name": "p", "namespace": namespace}, "spec": {"containers": [container]}}
        await client.create("pods", pod)
        await eventually(lambda: used({**empty, "pods": "1", "count/pods": "1", "requests.cpu": "1500m"}))
        done = {"status": {"phase": "Succeeded"}}
        await client.patch("pods", "p", done, namespace=namespace, subresource="status")
        await eventually(lambda: used({**empty, "count/pods": "1"}))
        await client.delete("pods", "p", namespace=namespace, grace_period_seconds=0)
        await client.delete("configmaps", "before", namespace=namespace)
        await eventually(lambda: used(dict.fromkeys(hard, "0")))


async def test_a_custom_resource_is_counted_once_it_is_served(
    client: Client, namespace: str, controlling: Controlling, eventually: Eventually
) -> None:
    async def used() -> Any:
        status = (await client.get("resourcequotas", "q", namespace=namespace)).get("status") or {}
        return (status.get("used") or {}).get("count/widgets.quota.example.com")

    async def is_one() -> bool:
        return bool(await used() == "1")

    async def is_none() -> bool:
        return bool(await used() == "0")

    definition = {
        "metadata": {"name": "widgets.quota.example.com"},
        "spec": {
            "group": "quota.example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
            ],
        },
    }
    path = f"/apis/quota.example.com/v1/namespaces/{namespace}/widgets"
    headers = {"Content-Type": "application/json"}
    body = b'{"apiVersion":"quota.example.com/v1","kind":"Widget","metadata":{"name":"w"}}'
    async with controlling(ResourceQuotaController):
        await quota(client, namespace, {"count/widgets.quota.example.com": "1"})
        await eventually(is_none)
        await client.create("customresourcedefinitions.apiextensions.k8s.io", definition)

        async def created() -> bool:
            listed = await client.request("GET", "/apis")
            return b"quota.example.com" in listed

        await eventually(created)
        await client.request("POST", path, body=body, headers=headers)
        await eventually(is_one)
        await client.request("DELETE", f"{path}/w")
        await eventually(is_none)
