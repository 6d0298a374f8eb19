"""Watches on a real server: seamless from any revision, across a restart, and honest where they can't be."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import select
import signal
import ssl
import threading
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


def test_the_event_of_a_write_is_sent_before_its_answer(cluster: Cluster, client: Client, namespace: str) -> None:
    """A controller that is answered first takes its informer for current, and works on what it has just changed.

    Both connections end here and a send over the loopback arrives before it returns, so what was sent before an answer
    can be read when the answer has been.
    """
    del client
    context = ssl.create_default_context(cadata=cluster.authority.pem.decode())
    certificate, key = cluster.authority.issue("admin", ["system:masters"])
    context.load_cert_chain(cluster.write("order.crt", certificate), cluster.write("order.key", key))
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    headers = {"Content-Type": "application/merge-patch+json"}
    ending = threading.Event()

    def connection() -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(cluster.address, cluster.port, context=context, timeout=30)

    def change(one: http.client.HTTPSConnection, name: str, value: int) -> None:
        one.request("PATCH", f"{path}/{name}", json.dumps({"data": {"n": str(value)}}), headers)
        answer = one.getresponse()
        said = answer.read()
        assert answer.status == 200, said

    def bustle(name: str) -> None:
        """Requests of others: turns of the server's event loop are long where it has more to do."""
        with contextlib.closing(connection()) as one:
            value = 0
            while not ending.is_set():
                change(one, name, value := value + 1)

    with contextlib.closing(connection()) as writer, contextlib.closing(connection()) as watcher:
        for name in ("watched", "other-1", "other-2", "other-3"):
            writer.request("POST", path, json.dumps(config_map(namespace, name)), {"Content-Type": "application/json"})
            made = json.loads(writer.getresponse().read())
        version = made["metadata"]["resourceVersion"]
        watcher.request("GET", f"{path}?watch=1&fieldSelector=metadata.name=watched&resourceVersion={version}")
        events = watcher.getresponse()
        others = [threading.Thread(target=bustle, args=(f"other-{number}",)) for number in (1, 2, 3)]
        for other in others:
            other.start()
        late = 0
        try:
            for value in range(100):
                change(writer, "watched", value)
                late += not select.select([watcher.sock], [], [], 0)[0]
                assert json.loads(events.readline())["object"]["data"] == {"n": str(value)}
        finally:
            ending.set()
            for other in others:
                other.join()
            events.close()
        assert late == 0
