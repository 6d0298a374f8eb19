"""Watches on a real server: seamless from any revision, across a restart, and honest where they can't be."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from keelson.api.errors import StatusError
from keelson.client import watches
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab


def config_map(namespace: str, name: str, label: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "labels": {"l": label}}}


async def collect(client: Client, namespace: str, count: int, **how: Any) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []
    async with (
        asyncio.timeout(15),
        contextlib.aclosing(
            cast("AsyncGenerator[watches.WatchEvent]", watches.watch(client, "configmaps", namespace=namespace, **how))
        ) as events,
    ):
        async for event in events:
            if event.type != "BOOKMARK":
                seen.append((event.type, event.object["metadata"]["name"]))
            if len(seen) >= count:
                return seen
    raise AssertionError("the watch ended early")


async def test_from_a_list_nothing_is_missed(client: Client, namespace: str) -> None:
    listed = await client.list("configmaps", namespace=namespace)
    await client.create("configmaps", config_map(namespace, "a"))
    await client.patch("configmaps", "a", {"data": {"k": "v"}}, namespace=namespace)
    version = listed["metadata"]["resourceVersion"]
    watching = asyncio.create_task(collect(client, namespace, 4, resource_version=version))
    await client.create("configmaps", config_map(namespace, "b"))
    await client.delete("configmaps", "a", namespace=namespace)
    assert await watching == [("ADDED", "a"), ("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a")]


async def test_what_leaves_a_selection_is_deleted_from_it(client: Client, namespace: str) -> None:
    await client.create("configmaps", config_map(namespace, "a", "x"))
    listed = await client.list("configmaps", namespace=namespace, label_selector="l=x")
    version = listed["metadata"]["resourceVersion"]
    await client.patch("configmaps", "a", {"metadata": {"labels": {"l": "y"}}}, namespace=namespace)
    await client.patch("configmaps", "a", {"metadata": {"labels": {"l": "x"}}}, namespace=namespace)
    seen = await collect(client, namespace, 2, resource_version=version, label_selector="l=x")
    assert seen == [("DELETED", "a"), ("ADDED", "a")]


async def test_a_version_that_is_gone_is_told(client: Client, namespace: str) -> None:
    await client.create("configmaps", config_map(namespace, "a"))
    with pytest.raises(StatusError) as caught:
        await collect(client, namespace, 1, resource_version="1")
    assert caught.value.code == 410


async def test_a_restart_of_the_server_loses_nothing(cluster: Cluster, client: Client, namespace: str) -> None:
    made = await client.create("configmaps", config_map(namespace, "a"))
    # In a thread, so that the client sees its connections end and closes them.
    await asyncio.to_thread(cluster.stop_server, signal.SIGKILL)
    await asyncio.to_thread(cluster.start_server)
    found = await client.get("configmaps", "a", namespace=namespace)
    assert found == made
    listed = await client.list("configmaps", namespace=namespace)
    await client.create("configmaps", config_map(namespace, "b"))
    version = listed["metadata"]["resourceVersion"]
    assert await collect(client, namespace, 1, resource_version=version) == [("ADDED", "b")]
