"""Conversion webhooks on a real server: one object, many versions, and a real webhook between them."""

from __future__ import annotations

import asyncio
import base64
import copy
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from keelson.api.errors import StatusError
from keelson.api.resources import Resource
from keelson.client.rest import MERGE_PATCH, Client
from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.contracts.kube_apiserver.extension_servers import ExtensionServer
from tests.contracts.kube_apiserver.test_custom_resources import CRDS, gone, until

pytestmark = pytest.mark.lab

_counter = itertools.count()


class Converter:
    """v1 has spec.hostPort, v2 spec.host and spec.port."""

    def __init__(self, folder: Path) -> None:
        self.server = ExtensionServer(folder, ["localhost"], self.respond)
        self.batches: list[int] = []
        self.break_metadata = False
        self.refusal = ""

    def converted(self, obj: dict[str, Any], wanted: str) -> dict[str, Any]:
        made = copy.deepcopy(obj)
        made["apiVersion"] = wanted
        spec = made.setdefault("spec", {})
        if wanted.endswith("/v2") and "hostPort" in spec:
            spec["host"], _, spec["port"] = spec.pop("hostPort").partition(":")
        elif wanted.endswith("/v1") and "host" in spec:
            spec["hostPort"] = f"{spec.pop('host')}:{spec.pop('port')}"
        made["metadata"].setdefault("annotations", {})["converted-to"] = wanted.rpartition("/")[2]
        if self.break_metadata:
            made["metadata"]["name"] += "-other"
        return made

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        review = orjson.loads(await request.read())
        asked = review["request"]
        assert all(obj["apiVersion"] != asked["desiredAPIVersion"] for obj in asked["objects"])
        self.batches.append(len(asked["objects"]))
        result = {"status": "Failure", "message": self.refusal} if self.refusal else {"status": "Success"}
        objects = [self.converted(obj, asked["desiredAPIVersion"]) for obj in asked["objects"]]
        answer = {"uid": asked["uid"], "result": result, "convertedObjects": objects}
        return web.json_response({"kind": review["kind"], "apiVersion": review["apiVersion"], "response": answer})


def _version(name: str, *, storage: bool, fields: tuple[str, ...]) -> dict[str, Any]:
    properties = {field: {"type": "string"} for field in (*fields, "note")}
    spec = {"type": "object", "properties": {**properties, "replicas": {"type": "integer"}}}
    status = {"type": "object", "properties": {"replicas": {"type": "integer"}}}
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        },
        "selectableFields": [{"jsonPath": f".spec.{fields[0]}"}],
    }


class Kind:
    """A CRD of its own for a test, v1 stored."""

    def __init__(self, converter: Converter, client: Client, namespace: str) -> None:
        self.converter = converter
        self.client = client
        self.namespace = namespace
        self.group = f"c{next(_counter)}.example.com"
        self.one = Resource(self.group, "v1", "Conn", "conns", True, "conn")
        self.two = Resource(self.group, "v2", "Conn", "conns", True, "conn")

    @property
    def name(self) -> str:
        return f"conns.{self.group}"

    async def define(self) -> None:
        bundle = base64.b64encode(self.converter.server.authority.pem).decode()
        url = f"https://localhost:{self.converter.server.port}/convert"
        config = {"clientConfig": {"url": url, "caBundle": bundle}, "conversionReviewVersions": ["v1"]}
        await self.client.create(
            CRDS,
            {
                "metadata": {"name": self.name},
                "spec": {
                    "group": self.group,
                    "scope": "Namespaced",
                    "names": {"plural": "conns", "kind": "Conn"},
                    "conversion": {"strategy": "Webhook", "webhook": config},
                    "versions": [
                        _version("v1", storage=True, fields=("hostPort",)),
                        _version("v2", storage=False, fields=("host", "port")),
                    ],
                },
            },
        )
        await until(self.client, self.name, "Established")

    def object(self, name: str, **spec: Any) -> dict[str, Any]:
        return {"metadata": {"name": name, "namespace": self.namespace}, "spec": spec}

    async def store(self, version: str) -> None:
        """Store this version from now on."""
        found = await self.client.get(CRDS, self.name)
        for each in found["spec"]["versions"]:
            each["storage"] = each["name"] == version
        await self.client.update(CRDS, found)
        # Whoever has read the new definition sees its effect.
        await self.client.get(CRDS, self.name)


@pytest.fixture
async def kind(client: Client, namespace: str, tmp_path: Path) -> AsyncIterator[Kind]:
    converter = Converter(tmp_path / "converter")
    async with converter.server:
        found = Kind(converter, client, namespace)
        await found.define()
        yield found
        converter.break_metadata, converter.refusal = False, ""
        await client.delete(CRDS, found.name)
        await gone(client, found.name)


async def test_every_verb_in_a_version_that_is_not_stored(
    cluster: Cluster, client: Client, namespace: str, kind: Kind
) -> None:
    made = await client.create(kind.two, kind.object("a", host="h", port="1"))
    assert (made["apiVersion"], made["spec"]) == (f"{kind.group}/v2", {"host": "h", "port": "1"})
    stored = orjson.loads(await cluster.stored(f"/registry/{kind.group}/conns/{namespace}/a"))
    assert (stored["apiVersion"], stored["spec"]) == (f"{kind.group}/v1", {"hostPort": "h:1"})
    assert (await client.get(kind.one, "a", namespace=namespace))["spec"] == {"hostPort": "h:1"}
    shown = await client.get(kind.two, "a", namespace=namespace)
    assert shown["spec"] == {"host": "h", "port": "1"}
    assert shown["metadata"]["uid"] == made["metadata"]["uid"]
    shown["spec"]["port"] = "2"
    assert (await client.update(kind.two, shown))["spec"]["port"] == "2"
    patched = await client.patch(kind.two, "a", {"spec": {"note": "n"}}, namespace=namespace, kind=MERGE_PATCH)
    assert (patched["metadata"]["generation"], patched["spec"]["note"]) == (3, "n")
    assert (await client.get(kind.one, "a", namespace=namespace))["spec"] == {"hostPort": "h:2", "note": "n"}
    config = {"apiVersion": f"{kind.group}/v2", "kind": "Conn", **kind.object("b", host="g", port="3")}
    applied = await client.apply(kind.two, config, field_manager="suite")
    assert applied["spec"] == {"host": "g", "port": "3"}
    told = await client.patch(
        kind.two, "a", {"status": {"replicas": 7}}, namespace=namespace, subresource="status", kind=MERGE_PATCH
    )
    assert (told["status"], told["spec"]["host"]) == ({"replicas": 7}, "h")
    scale = await client.get(kind.two, "a", namespace=namespace, subresource="scale")
    assert scale["status"]["replicas"] == 7
    listed = await client.list(kind.two, namespace=namespace)
    assert [item["spec"]["host"] for item in listed["items"]] == ["h", "g"]
    await client.delete(kind.two, "a", namespace=namespace)
    with pytest.raises(StatusError) as caught:
        await client.get(kind.one, "a", namespace=namespace)
    assert caught.value.code == 404


async def test_a_list_of_both_versions_is_converted_in_one_call(
    cluster: Cluster, client: Client, namespace: str, kind: Kind
) -> None:
    for name in ("a", "b", "c"):
        await client.create(kind.one, kind.object(name, hostPort=f"{name}:1"))
    await kind.store("v2")
    await client.create(kind.two, kind.object("d", host="d", port="1"))
    raw = orjson.loads(await cluster.stored(f"/registry/{kind.group}/conns/{namespace}/d"))
    assert raw["apiVersion"] == f"{kind.group}/v2"
    kind.converter.batches.clear()
    listed = await client.list(kind.two, namespace=namespace)
    assert [(item["apiVersion"][-2:], item["spec"]["host"]) for item in listed["items"]] == [
        ("v2", "a"), ("v2", "b"), ("v2", "c"), ("v2", "d"),
    ]  # fmt: skip
    assert kind.converter.batches == [3]
    await client.list(kind.two, namespace=namespace)
    assert kind.converter.batches == [3]
    old = await client.list(kind.one, namespace=namespace)
    assert [item["spec"]["hostPort"] for item in old["items"]] == ["a:1", "b:1", "c:1", "d:1"]
    await client.patch(kind.two, "a", {"spec": {"note": "x"}}, namespace=namespace, kind=MERGE_PATCH)
    # Written anew, it is stored in the version that is the stored one now.
    raw = orjson.loads(await cluster.stored(f"/registry/{kind.group}/conns/{namespace}/a"))
    assert raw["apiVersion"] == f"{kind.group}/v2"


async def test_watches_and_field_selectors_see_their_own_version(client: Client, namespace: str, kind: Kind) -> None:
    first = await client.create(kind.one, kind.object("a", hostPort="x:1"))
    seen: list[tuple[str, str, dict[str, Any]]] = []

    async def follow() -> None:
        query = {
            "watch": "true",
            "resourceVersion": first["metadata"]["resourceVersion"],
            "fieldSelector": "spec.host=x",
        }
        async with client.stream("GET", kind.two.path(namespace), query=query, timeout=20) as answer:
            async for line in answer.content:
                event = orjson.loads(line)
                assert event["object"]["apiVersion"] == f"{kind.group}/v2"
                seen.append((event["type"], event["object"]["metadata"]["name"], event["object"]["spec"]))
                if len(seen) == 3:
                    return

    watching = asyncio.create_task(follow())
    await client.create(kind.one, kind.object("b", hostPort="y:1"))
    await client.create(kind.one, kind.object("c", hostPort="x:2"))
    await client.patch(kind.two, "a", {"spec": {"port": "9"}}, namespace=namespace, kind=MERGE_PATCH)
    await client.delete(kind.one, "c", namespace=namespace)
    async with asyncio.timeout(10):
        await watching
    assert seen == [
        ("ADDED", "c", {"host": "x", "port": "2"}),
        ("MODIFIED", "a", {"host": "x", "port": "9"}),
        ("DELETED", "c", {"host": "x", "port": "2"}),
    ]
    found = await client.list(kind.two, namespace=namespace, field_selector="spec.host=y")
    assert [item["metadata"]["name"] for item in found["items"]] == ["b"]
    found = await client.list(kind.one, namespace=namespace, field_selector="spec.hostPort=y:1")
    assert [item["metadata"]["name"] for item in found["items"]] == ["b"]
    with pytest.raises(StatusError) as caught:
        await client.list(kind.one, namespace=namespace, field_selector="spec.host=y")
    assert caught.value.code == 400


async def test_a_webhook_that_fails_is_told_and_tried_again(client: Client, namespace: str, kind: Kind) -> None:
    await client.create(kind.one, kind.object("a", hostPort="x:1"))
    about = f"conversion webhook for {kind.group}/v1, Kind=Conn"
    kind.converter.refusal = "no such port"
    for read in (client.get(kind.two, "a", namespace=namespace), client.list(kind.two, namespace=namespace)):
        with pytest.raises(StatusError) as caught:
            await read
        assert caught.value.code == 500
        assert f"{about} failed: no such port" in caught.value.message
    kind.converter.refusal = ""
    kind.converter.break_metadata = True
    with pytest.raises(StatusError) as caught:
        await client.get(kind.two, "a", namespace=namespace)
    why = f"{about} returned invalid converted object at index 0: must have the same name: a != a-other"
    assert why in caught.value.message
    kind.converter.break_metadata = False
    # What is stored needs no webhook.
    await kind.converter.server.stop()
    assert (await client.get(kind.one, "a", namespace=namespace))["spec"] == {"hostPort": "x:1"}
    with pytest.raises(StatusError) as caught:
        await client.create(kind.two, kind.object("b", host="h", port="1"))
    assert f"conversion webhook for {kind.group}/v2, Kind=Conn failed: Post" in caught.value.message
    await kind.converter.server.start()
    assert (await client.list(kind.two, namespace=namespace))["items"][0]["spec"]["host"] == "x"


async def test_owners_speak_of_their_own_version(kind: Kind) -> None:
    first = {**kind.object("a", hostPort="h:1", note="n"), "apiVersion": f"{kind.group}/v1", "kind": "Conn"}
    await kind.client.apply(kind.one, first, field_manager="one")
    second = {**kind.object("a", port="2"), "apiVersion": f"{kind.group}/v2", "kind": "Conn"}
    with pytest.raises(StatusError) as caught:
        await kind.client.apply(kind.two, second, field_manager="two")
    assert [cause["field"] for cause in caught.value.details["causes"]] == [".spec.hostPort"]
    taken = await kind.client.apply(kind.two, second, field_manager="two", force=True)
    owners = {
        entry["manager"]: (entry["apiVersion"], sorted(entry["fieldsV1"]["f:spec"]))
        for entry in taken["metadata"]["managedFields"]
    }
    assert owners == {"one": (f"{kind.group}/v1", ["f:note"]), "two": (f"{kind.group}/v2", ["f:port"])}
    # Who moves on to another version takes away there what it no longer states.
    later = {**kind.object("a", port="2"), "apiVersion": f"{kind.group}/v2", "kind": "Conn"}
    assert (await kind.client.apply(kind.two, later, field_manager="one"))["spec"] == {"host": "h", "port": "2"}
