"""CRDs on a real server with real kubectl: from the definition to objects of a new kind, and back to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

import orjson
import pytest
import yaml

from keelson.api import meta
from keelson.api.errors import StatusError
from keelson.api.resources import Resource
from keelson.client import rest, watches
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab

CRDS = "customresourcedefinitions.apiextensions.k8s.io"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A widget.",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["color"],
            "properties": {
                "color": {"type": "string", "enum": ["red", "green"], "description": "Its color."},
                "size": {"type": "integer", "minimum": 1, "maximum": 10, "default": 3},
                "replicas": {"type": "integer"},
                "port": {"x-kubernetes-int-or-string": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "parts": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string"}, "count": {"type": "integer", "default": 1}},
                    },
                },
            },
        },
        "status": {
            "type": "object",
            "properties": {
                "phase": {"type": "string"},
                "replicas": {"type": "integer"},
                "selector": {"type": "string"},
            },
        },
    },
}
_counter = itertools.count()


def version(name: str = "v1", *, storage: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": copy.deepcopy(SCHEMA)},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}],
        "selectableFields": [{"jsonPath": ".spec.color"}],
        **more,
    }


def definition(group: str, *versions: dict[str, Any], scope: str = "Namespaced") -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
            "versions": list(versions or [version()]),
        },
    }


def resource(group: str, name: str = "v1", *, namespaced: bool = True) -> Resource:
    return Resource(group, name, "Widget", "widgets", namespaced, "widget")


def widget(group: str, namespace: str, name: str, api: str = "v1", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": f"{group}/{api}", "kind": "Widget", "metadata": metadata, "spec": {"color": "red", **spec}}


async def until(client: Client, name: str, condition: str, status: str = "True") -> dict[str, Any]:
    """The CRD once it states the condition."""
    async with (
        asyncio.timeout(10),
        contextlib.aclosing(
            cast(
                "AsyncGenerator[watches.WatchEvent]",
                watches.watch(client, CRDS, field_selector=f"metadata.name={name}", resource_version="0"),
            )
        ) as events,
    ):
        async for event in events:
            if event.type in ("ADDED", "MODIFIED") and meta.condition_is(event.object, condition, status):
                return event.object
    raise AssertionError("the watch ended")


async def gone(client: Client, name: str) -> None:
    """Wait until a CRD is no more."""
    async with asyncio.timeout(15):
        while True:
            listed = await client.list(CRDS, field_selector=f"metadata.name={name}")
            if not listed["items"]:
                return
            found = {**listed["items"][0]}
            with contextlib.suppress(TimeoutError):
                await until_deleted(client, found)


async def until_deleted(client: Client, found: dict[str, Any]) -> None:
    version = found["metadata"]["resourceVersion"]
    async with (
        asyncio.timeout(2),
        contextlib.aclosing(
            cast("AsyncGenerator[watches.WatchEvent]", watches.watch(client, CRDS, resource_version=version))
        ) as events,
    ):
        async for event in events:
            if event.type == "DELETED" and event.object["metadata"]["name"] == found["metadata"]["name"]:
                return


@pytest.fixture
async def group(client: Client) -> AsyncIterator[str]:
    """A group of its own for each test; what it defined is deleted afterwards."""
    name = f"t{next(_counter)}.example.com"
    yield name
    await client.delete_collection(CRDS, field_selector=f"metadata.name=widgets.{name}")
    await gone(client, f"widgets.{name}")


async def define(client: Client, group: str, *versions: dict[str, Any], scope: str = "Namespaced") -> dict[str, Any]:
    await client.create(CRDS, definition(group, *versions, scope=scope))
    return await until(client, f"widgets.{group}", "Established")


async def test_kubectl_does_with_a_new_kind_what_it_does_with_any(cluster: Cluster, group: str, namespace: str) -> None:
    def kubectl(*arguments: str, **more: Any) -> str:
        return cluster.kubectl(*arguments, f"--namespace={namespace}", **more)

    kubectl("create", "-f", "-", input=yaml.safe_dump(definition(group)))
    kubectl("wait", "--for=condition=Established", f"crd/widgets.{group}", "--timeout=10s")
    assert "widgets   wd           " in kubectl("api-resources", f"--api-group={group}")
    assert "Its color." in kubectl("explain", f"widgets.{group}.spec.color")
    good = widget(group, namespace, "one", parts=[{"name": "a"}], free={"any": {"thing": 1}}, port="http")
    kubectl("apply", "-f", "-", input=yaml.safe_dump(good))
    table = kubectl("get", f"widgets.{group}").splitlines()
    assert table[0].split() == ["NAME", "COLOR"]
    assert table[1].split() == ["one", "red"]
    made = orjson.loads(kubectl("get", f"widgets.{group}", "one", "-o", "json"))
    assert made["spec"] == {
        "color": "red",
        "size": 3,
        "port": "http",
        "free": {"any": {"thing": 1}},
        "parts": [{"name": "a", "count": 1}],
    }
    assert f"widget.{group}/one" in kubectl("get", "all")
    kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump(widget(group, namespace, "two", size=5)))
    kubectl("scale", f"widget.{group}/two", "--replicas=4")
    assert kubectl("get", f"widget.{group}/two", "-o", "jsonpath={.spec.replicas}") == "4"
    unknown = widget(group, namespace, "three", unknown=1)
    said = kubectl("create", "-f", "-", input=yaml.safe_dump(unknown), check=False)
    assert 'unknown field "spec.unknown"' in said
    kubectl("delete", f"crd/widgets.{group}", "--timeout=20s")
    assert "the server" in kubectl("get", f"widgets.{group}", check=False)


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"color": "blue"}, "spec.color", 'Unsupported value: "blue": supported values: "red", "green"'),
        ({"size": 11}, "spec.size", "Invalid value: 11: spec.size in body should be less than or equal to 10"),
        (
            {"size": "big"},
            "spec.size",
            'Invalid value: "string": spec.size in body must be of type integer: "string"',
        ),
        ({"parts": [{"name": "a"}, {"name": "a"}]}, "spec.parts[1]", 'Duplicate value: {"name":"a"}'),
        ({"parts": [{"count": 1}]}, "spec.parts[0].name", "Required value"),
        (
            {"port": True},
            "spec.port",
            'Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"',
        ),
    ],
)
async def test_what_the_schema_forbids_is_refused(
    client: Client, group: str, namespace: str, spec: dict[str, Any], field: str, message: str
) -> None:
    await define(client, group)
    with pytest.raises(StatusError) as caught:
        await client.create(resource(group), widget(group, namespace, "bad", **spec))
    assert caught.value.code == 422
    assert caught.value.details["group"] == group
    causes = {cause["field"]: cause["message"] for cause in caught.value.details["causes"]}
    assert causes[field] == message


async def test_metadata_has_every_objects_types(client: Client, group: str, namespace: str) -> None:
    await define(client, group)
    bad = widget(group, namespace, "bad")
    bad["metadata"]["labels"] = {"a": 1}
    with pytest.raises(StatusError) as caught:
        await client.create(resource(group), bad)
    assert caught.value.code == 400
    assert "cannot unmarshal number" in caught.value.message


async def test_generation_and_status_take_their_own_roads(client: Client, group: str, namespace: str) -> None:
    await define(client, group)
    kind = resource(group)
    made = await client.create(kind, {**widget(group, namespace, "a"), "status": {"phase": "x"}})
    assert made["metadata"]["generation"] == 1
    assert "status" not in made
    told = await client.patch(kind, "a", {"status": {"phase": "on"}}, namespace=namespace, subresource="status")
    assert (told["status"], told["metadata"]["generation"]) == ({"phase": "on"}, 1)
    changed = await client.patch(
        kind, "a", {"spec": {"size": 4}, "status": {"phase": "off"}}, namespace=namespace, kind=rest.MERGE_PATCH
    )
    assert (changed["status"], changed["metadata"]["generation"]) == ({"phase": "on"}, 2)
    with pytest.raises(StatusError) as caught:
        await client.patch(kind, "a", {}, namespace=namespace, kind="application/strategic-merge-patch+json")
    assert caught.value.code == 415
    bare = {**changed, "metadata": {k: v for k, v in changed["metadata"].items() if k != "resourceVersion"}}
    with pytest.raises(StatusError) as caught:
        await client.update(kind, bare)
    assert caught.value.details["causes"][0]["field"] == "metadata.resourceVersion"


async def test_server_side_apply_merges_lists_by_their_keys(client: Client, group: str, namespace: str) -> None:
    await define(client, group)
    kind = resource(group)
    one = widget(group, namespace, "a", parts=[{"name": "x", "count": 1}])
    two = {**widget(group, namespace, "a"), "spec": {"parts": [{"name": "z", "count": 2}]}}
    await client.apply(kind, one, field_manager="one")
    both = await client.apply(kind, two, field_manager="two")
    assert [part["name"] for part in both["spec"]["parts"]] == ["x", "z"]
    with pytest.raises(StatusError) as caught:
        await client.apply(kind, {**two, "spec": {"parts": [{"name": "x", "count": 9}]}}, field_manager="two")
    assert caught.value.reason == "Conflict"
    left = await client.apply(kind, {**two, "spec": {}}, field_manager="two")
    assert [part["name"] for part in left["spec"]["parts"]] == ["x"]


async def test_selectable_fields_choose_for_lists_and_watches(client: Client, group: str, namespace: str) -> None:
    await define(client, group)
    kind = resource(group)
    for name, color in (("a", "red"), ("b", "green")):
        await client.create(kind, {**widget(group, namespace, name), "spec": {"color": color}})
    found = await client.list(kind, namespace=namespace, field_selector="spec.color=green")
    assert [item["metadata"]["name"] for item in found["items"]] == ["b"]
    with pytest.raises(StatusError) as caught:
        await client.list(kind, namespace=namespace, field_selector="spec.size=3")
    assert caught.value.code == 400


async def test_versions_share_their_objects_and_the_stored_one_may_change(
    cluster: Cluster, client: Client, group: str, namespace: str
) -> None:
    old, new = version("v1"), version("v2", storage=False)
    for each, more in ((old, {"extra": {"type": "string"}}), (new, {"extra": {"type": "string", "default": "e"}})):
        each["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].update(more)
    new["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].pop("free")
    await define(client, group, old, new)
    one, two = resource(group), resource(group, "v2")
    await client.create(one, widget(group, namespace, "a", free={"x": 1}))
    made = await client.create(two, widget(group, namespace, "b", "v2"))
    assert (made["apiVersion"], made["spec"]["extra"]) == (f"{group}/v2", "e")
    assert (await client.get(one, "b", namespace=namespace))["spec"]["extra"] == "e"
    assert (await client.get(one, "a", namespace=namespace))["spec"]["free"] == {"x": 1}
    assert "free" not in (await client.get(two, "a", namespace=namespace))["spec"]
    listed = await client.list(two, namespace=namespace)
    assert [item["apiVersion"] for item in listed["items"]] == [f"{group}/v2"] * 2
    found = await client.get(CRDS, f"widgets.{group}")
    for each in found["spec"]["versions"]:
        each["storage"] = each["name"] == "v2"
    changed = await client.update(CRDS, found)
    assert changed["status"]["storedVersions"] == ["v1", "v2"]
    # Whoever has read the new definition sees its effect.
    await client.get(CRDS, f"widgets.{group}")
    await client.patch(two, "a", {"spec": {"extra": "told"}}, namespace=namespace)
    stored = orjson.loads(await cluster.stored(f"/registry/{group}/widgets/{namespace}/a"))
    assert (stored["apiVersion"], stored["spec"]["extra"]) == (f"{group}/v2", "told")
    assert orjson.loads(await cluster.stored(f"/registry/{group}/widgets/{namespace}/b"))["apiVersion"] == f"{group}/v1"
    assert (await client.get(two, "b", namespace=namespace))["spec"]["color"] == "red"
    with pytest.raises(StatusError) as caught:
        await client.update(
            CRDS, {**changed, "spec": {**changed["spec"], "versions": [changed["spec"]["versions"][1]]}}
        )
    assert caught.value.details["causes"][0]["field"] == "status.storedVersions[0]"


async def test_defaults_of_a_new_schema_show_on_what_is_stored(client: Client, group: str, namespace: str) -> None:
    await define(client, group)
    kind = resource(group)
    await client.create(kind, widget(group, namespace, "a", free={"x": 1}))
    found = await client.get(CRDS, f"widgets.{group}")
    properties = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    properties["late"] = {"type": "string", "default": "d"}
    del properties["free"]
    await client.update(CRDS, found)
    await client.get(CRDS, f"widgets.{group}")
    shown = await client.get(kind, "a", namespace=namespace)
    assert shown["spec"] == {"color": "red", "size": 3, "late": "d"}
    listed = await client.list(kind, namespace=namespace)
    assert listed["items"][0]["spec"]["late"] == "d"


async def test_two_definitions_do_not_share_a_name(client: Client, group: str) -> None:
    await define(client, group)
    second = definition(group)
    second["metadata"]["name"] = f"wodgets.{group}"
    second["spec"]["names"] = {"plural": "wodgets", "kind": "Widget"}
    await client.create(CRDS, second)
    refused = await until(client, f"wodgets.{group}", "NamesAccepted", "False")
    row = meta.condition(refused, "NamesAccepted")
    assert row is not None
    assert (row["reason"], row["message"]) == ("ListKindConflict", '"WidgetList" is already in use')
    await client.delete(CRDS, f"widgets.{group}")
    assert await until(client, f"wodgets.{group}", "Established")
    await client.delete(CRDS, f"wodgets.{group}")


async def test_deleting_a_definition_deletes_its_objects_and_waits_for_their_finalizers(
    cluster: Cluster, client: Client, group: str, namespace: str
) -> None:
    await define(client, group)
    kind = resource(group)
    await client.create(kind, widget(group, namespace, "plain"))
    held = widget(group, namespace, "held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create(kind, held)
    await client.delete(CRDS, f"widgets.{group}")
    found = await until(client, f"widgets.{group}", "Terminating")
    assert found["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    with pytest.raises(StatusError) as caught:
        await client.create(kind, widget(group, namespace, "late"))
    assert caught.value.code == 405
    await client.patch(kind, "held", {"metadata": {"finalizers": None}}, namespace=namespace)
    await gone(client, f"widgets.{group}")
    assert await cluster.stored(f"/registry/{group}/widgets/{namespace}/plain") == b""
    assert await cluster.stored(f"/registry/{group}/widgets/{namespace}/held") == b""
    with pytest.raises(StatusError) as caught:
        await client.list(kind, namespace=namespace)
    assert caught.value.code == 404


async def test_watches_tell_of_objects_and_end_with_their_definition(
    client: Client, group: str, namespace: str
) -> None:
    await define(client, group)
    kind = resource(group)
    await client.create(kind, widget(group, namespace, "a"))
    seen: list[tuple[str, str]] = []
    started = asyncio.Event()

    async def follow() -> None:
        path = kind.path(namespace)
        async with client.stream("GET", path, query={"watch": "true"}, timeout=20) as answer:
            async for line in answer.content:
                event = orjson.loads(line)
                seen.append((event["type"], event["object"]["metadata"]["name"]))
                started.set()

    watching = asyncio.create_task(follow())
    async with asyncio.timeout(15):
        await started.wait()
        await client.delete(kind, "a", namespace=namespace)
        await client.delete(CRDS, f"widgets.{group}")
        await watching
    assert seen == [("ADDED", "a"), ("DELETED", "a")]


async def test_discovery_and_openapi_follow(cluster: Cluster, client: Client, group: str) -> None:
    aggregated = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}

    async def etag() -> str:
        async with client.stream("GET", "/apis", headers=aggregated, timeout=10) as answer:
            return str(answer.headers["ETag"])

    before = await etag()
    await define(client, group, scope="Cluster")
    assert await etag() != before
    groups = orjson.loads(await client.request("GET", "/apis"))["groups"]
    assert {each["name"] for each in groups} >= {group, "apps"}
    listed = orjson.loads(await client.request("GET", f"/apis/{group}/v1"))["resources"]
    assert [row["name"] for row in listed] == ["widgets", "widgets/status", "widgets/scale"]
    assert not listed[0]["namespaced"]
    document = orjson.loads(await client.request("GET", f"/openapi/v3/apis/{group}/v1"))
    assert f"/apis/{group}/v1/widgets/{{name}}/status" in document["paths"]
    made = await client.create(resource(group, namespaced=False), widget(group, "", "a"))
    assert "namespace" not in made["metadata"]


async def test_rules_in_cel_judge_definitions_and_objects(cluster: Cluster, group: str, namespace: str) -> None:
    def kubectl(*arguments: str, **more: Any) -> str:
        return cluster.kubectl(*arguments, f"--namespace={namespace}", **more)

    made = version()
    spec = made["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["x-kubernetes-validations"] = [{"rule": "self.replicas <= self.size", "message": "too many for its size"}]
    spec["properties"]["color"]["x-kubernetes-validations"] = [{"rule": "self == oldSelf", "message": "is for life"}]
    broken = copy.deepcopy(made)
    broken["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"][0]["rule"] = "self.zzz == 1"
    said = kubectl("create", "-f", "-", input=yaml.safe_dump(definition(group, broken)), check=False)
    assert "undefined field 'zzz'" in said
    kubectl("create", "-f", "-", input=yaml.safe_dump(definition(group, made)))
    kubectl("wait", "--for=condition=Established", f"crd/widgets.{group}", "--timeout=10s")
    bad = yaml.safe_dump(widget(group, namespace, "a", replicas=4))
    said = kubectl("create", "-f", "-", input=bad, check=False)
    assert 'The Widget "a" is invalid: spec: Invalid value: too many for its size' in said
    kubectl("create", "-f", "-", input=yaml.safe_dump(widget(group, namespace, "a", replicas=3)))
    said = kubectl("patch", f"widget.{group}/a", "--type=merge", "-p", '{"spec":{"color":"green"}}', check=False)
    assert 'spec.color: Invalid value: "green": is for life' in said
    kubectl("patch", f"widget.{group}/a", "--type=merge", "-p", '{"spec":{"replicas":2}}')
