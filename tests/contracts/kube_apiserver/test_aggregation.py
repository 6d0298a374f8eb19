"""Aggregation on a real server: local APIServices, and a real extension server behind one with TLS on both sides."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from aiohttp import web
from multidict import CIMultiDictProxy

from keelson.api import meta
from keelson.api.errors import StatusError
from keelson.api.resources import Resource
from keelson.client import kubeconfigs, watches
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.contracts.kube_apiserver.extension_servers import ExtensionServer, status

pytestmark = pytest.mark.lab

API_SERVICES = "apiservices.apiregistration.k8s.io"
_counter = itertools.count()


async def until(client: Client, name: str, value: str, reason: str) -> dict[str, Any]:
    """The APIService once its condition Available is as wanted."""
    async with (
        asyncio.timeout(20),
        contextlib.aclosing(
            cast(
                "AsyncGenerator[watches.WatchEvent]",
                watches.watch(client, API_SERVICES, field_selector=f"metadata.name={name}", resource_version="0"),
            )
        ) as events,
    ):
        seen = None
        async for event in events:
            seen = meta.condition(event.object, "Available")
            if seen is not None and (seen["status"], seen["reason"]) == (value, reason):
                return event.object
    raise AssertionError(f"the watch ended: {seen}")


class Flunders:
    """An aggregated server of one resource, kept in memory."""

    def __init__(self, folder: Path, group: str, names: list[str], clients: bytes) -> None:
        self.group = group
        self.api_version = f"{group}/v1alpha1"
        self.aggregated = True
        self.server = ExtensionServer(folder, names, self.respond, clients=clients)

    def asked(self) -> CIMultiDictProxy[str]:
        """The headers of the last request in a user's name: the aggregator asks too, for what there is."""
        return next(each.headers for each in reversed(self.server.requests) if "/flunders" in each.path)

    def row(self) -> dict[str, Any]:
        return {
            "name": "flunders", "singularName": "flunder", "namespaced": True, "kind": "Flunder",
            "verbs": ["create", "get", "list", "watch"], "shortNames": ["fl"],
        }  # fmt: skip

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path == "/apis" and self.aggregated and "APIGroupDiscoveryList" in request.headers["Accept"]:
            resource = {
                "resource": "flunders", "scope": "Namespaced", "singularResource": "flunder", "verbs": ["get", "list"],
                "responseKind": {"group": self.group, "version": "v1alpha1", "kind": "Flunder"}, "shortNames": ["fl"],
            }  # fmt: skip
            items = [{"metadata": {"name": self.group}, "versions": [{"version": "v1alpha1", "resources": [resource]}]}]
            body = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items}
            kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            return web.Response(body=orjson.dumps(body), headers={"Content-Type": kind})
        if path == f"/apis/{self.api_version}":
            return web.json_response(
                {
                    "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": self.api_version,
                    "resources": [self.row(), {**self.row(), "name": "flunders/status", "verbs": ["get"]}],
                }
            )  # fmt: skip
        if path.endswith("/flunders/away"):
            return web.Response(status=302, headers={"Location": "https://127.0.0.1:1/stolen"})
        if request.query.get("watch") == "true":
            stream = web.StreamResponse(headers={"Content-Type": "application/json"})
            await stream.prepare(request)
            for name in ("one", "two"):
                event = {"type": "ADDED", "object": self.flunder(name)}
                await stream.write(orjson.dumps(event) + b"\n")
            return stream
        if path.endswith("/flunders") and request.method == "POST":
            return web.json_response(orjson.loads(await request.read()), status=201)
        if path.endswith("/flunders"):
            listed = {"kind": "FlunderList", "apiVersion": self.api_version, "metadata": {}, "items": []}
            return web.json_response({**listed, "items": [self.flunder("one")]})
        if "/flunders/" in path:
            return web.json_response(self.flunder(path.rpartition("/")[2]))
        return web.json_response(status(404, "NotFound"), status=404)

    def flunder(self, name: str) -> dict[str, Any]:
        metadata = {"name": name, "namespace": "default", "resourceVersion": "1"}
        return {"apiVersion": self.api_version, "kind": "Flunder", "metadata": metadata}


def api_service(flunders: Flunders, namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    bundle = base64.b64encode(flunders.server.authority.pem).decode()
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"v1alpha1.{flunders.group}"},
        "spec": {
            "group": flunders.group,
            "version": "v1alpha1",
            "groupPriorityMinimum": 2000,
            "versionPriority": 200,
            "caBundle": bundle,
            "service": {"namespace": namespace, "name": name, "port": flunders.server.port},
            **spec,
        },
    }


def external(namespace: str, name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"type": "ExternalName",
            "externalName": "localhost"}}  # fmt: skip


@pytest.fixture
async def flunders(cluster: Cluster, client: Client, namespace: str, tmp_path: Path) -> AsyncIterator[Flunders]:
    """A registered, available extension server behind the service "ext" of the namespace."""
    group = f"wardle{next(_counter)}.example.com"
    made = Flunders(tmp_path / "ext", group, [f"ext.{namespace}.svc"], cluster.front_proxy.pem)
    await client.create("services", external(namespace, "ext"))
    async with made.server:
        await client.create(API_SERVICES, api_service(made, namespace, "ext"))
        await until(client, f"v1alpha1.{group}", "True", "Passed")
        yield made
        await client.delete(API_SERVICES, f"v1alpha1.{group}")


def kind_of(flunders: Flunders) -> Resource:
    return Resource(flunders.group, "v1alpha1", "Flunder", "flunders", True, "flunder")


async def test_every_group_of_ours_has_a_local_api_service(cluster: Cluster, client: Client) -> None:
    found = await until(client, "v1.apps", "True", "Local")
    assert found["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    assert found["spec"] == {"group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15}
    await until(client, "v1.", "True", "Local")
    table = cluster.kubectl("get", "apiservices").splitlines()
    assert table[0].split() == ["NAME", "SERVICE", "AVAILABLE", "AGE"]
    assert any(line.split()[:3] == ["v2.autoscaling", "Local", "True"] for line in table)
    groups = orjson.loads(cluster.kubectl("get", "--raw", "/apis"))["groups"]
    assert [group["name"] for group in groups][:3] == ["apiregistration.k8s.io", "apps", "events.k8s.io"]


async def test_requests_go_to_the_extension_server_in_the_users_name(
    cluster: Cluster, client: Client, namespace: str, flunders: Flunders
) -> None:
    kind = kind_of(flunders)
    assert (await client.get(kind, "one", namespace="default"))["kind"] == "Flunder"
    asked = flunders.asked()
    assert asked["X-Remote-User"] == "admin"
    assert asked.getall("X-Remote-Group") == ["system:masters", "system:authenticated"]
    assert "Authorization" not in asked
    made = await client.create(kind, {"metadata": {"name": "new", "namespace": "default"}, "spec": {"a": 1}})
    assert made["spec"] == {"a": 1}
    # Headers that claim an identity are the proxy's to set.
    async with client.stream(
        "GET", kind.path("default", "one"), headers={"X-Remote-User": "root", "X-Remote-Extra-A": "b"}
    ) as answer:
        assert answer.status == 200
    asked = flunders.asked()
    assert asked.getall("X-Remote-User") == ["admin"]
    assert "X-Remote-Extra-A" not in asked
    nobody = cluster.kubectl("get", f"flunders.{flunders.group}", "one", "--as=mallory", check=False)
    assert "forbidden" in nobody


async def test_watches_come_through_and_redirects_do_not(client: Client, flunders: Flunders) -> None:
    kind = kind_of(flunders)
    async with client.stream("GET", kind.path("default"), query={"watch": "true"}) as answer:
        lines = [orjson.loads(line) async for line in answer.content]
    assert [line["object"]["metadata"]["name"] for line in lines] == ["one", "two"]
    with pytest.raises(StatusError) as caught:
        await client.get(kind, "away", namespace="default")
    assert caught.value.code == 502


@pytest.mark.parametrize("aggregated", [True, False])
async def test_discovery_shows_what_the_extension_server_says(
    cluster: Cluster, client: Client, flunders: Flunders, aggregated: bool
) -> None:
    flunders.aggregated = aggregated
    shown = ""
    async with asyncio.timeout(20):
        while f"{flunders.group}/v1alpha1" not in shown:
            shown = await asyncio.to_thread(cluster.kubectl, "api-resources", f"--api-group={flunders.group}")
    assert shown.splitlines()[1].split() == ["flunders", "fl", f"{flunders.group}/v1alpha1", "true", "Flunder"]
    group = orjson.loads(await asyncio.to_thread(cluster.kubectl, "get", "--raw", f"/apis/{flunders.group}"))
    assert group["preferredVersion"]["version"] == "v1alpha1"
    listed = orjson.loads(await asyncio.to_thread(cluster.kubectl, "get", "--raw", f"/apis/{flunders.group}/v1alpha1"))
    assert listed["resources"][0]["name"] == "flunders"


async def test_reasons_why_a_server_is_not_available(
    cluster: Cluster, client: Client, namespace: str, tmp_path: Path
) -> None:
    group = f"wardle{next(_counter)}.example.com"
    made = Flunders(tmp_path / "ext", group, [f"ext.{namespace}.svc"], cluster.front_proxy.pem)
    name = f"v1alpha1.{group}"
    await client.create(API_SERVICES, api_service(made, namespace, "ext"))
    found = await until(client, name, "False", "ServiceNotFound")
    message = f'service/ext in "{namespace}" is not present'
    assert (meta.condition(found, "Available") or {})["message"] == message
    with pytest.raises(StatusError) as caught:
        await client.get(kind_of(made), "one", namespace="default")
    assert caught.value.code == 503
    port = {"name": "https", "port": 443}
    await client.create("services", {"metadata": {"name": "ext", "namespace": namespace}, "spec": {"ports": [port]}})
    await until(client, name, "False", "ServicePortError")
    change = {"spec": {"ports": [{**port, "port": made.server.port}]}}
    await client.patch("services", "ext", change, namespace=namespace)
    await until(client, name, "False", "EndpointsNotFound")
    await client.delete("services", "ext", namespace=namespace)
    await client.create("services", external(namespace, "ext"))
    await until(client, name, "False", "FailedDiscoveryCheck")
    async with made.server:
        # Nothing in the cluster tells of its start: the next look does.
        await until(client, name, "True", "Passed")
    await client.delete(API_SERVICES, name)


async def test_a_server_with_another_certificate_is_not_believed(
    cluster: Cluster, client: Client, namespace: str, tmp_path: Path
) -> None:
    group = f"wardle{next(_counter)}.example.com"
    made = Flunders(tmp_path / "ext", group, ["other.default.svc"], cluster.front_proxy.pem)
    await client.create("services", external(namespace, "ext"))
    async with made.server:
        await client.create(API_SERVICES, api_service(made, namespace, "ext"))
        found = await until(client, f"v1alpha1.{group}", "False", "FailedDiscoveryCheck")
        assert "certificate" in (meta.condition(found, "Available") or {})["message"]
        change = {"spec": {"caBundle": None, "insecureSkipTLSVerify": True}}
        await client.patch(API_SERVICES, f"v1alpha1.{group}", change)
        await until(client, f"v1alpha1.{group}", "True", "Passed")
    await client.delete(API_SERVICES, f"v1alpha1.{group}")


async def test_the_client_certificate_is_shown_and_needed(cluster: Cluster, client: Client, flunders: Flunders) -> None:
    assert flunders.server.peer["subject"] == ((("commonName", "front-proxy-client"),),)
    config = kubeconfigs.load(cluster.kubeconfig("eve", ()))
    async with Client(config, user_agent="suite") as other:
        with pytest.raises(StatusError) as caught:
            await other.get(kind_of(flunders), "one", namespace="default")
    assert caught.value.code == 403
