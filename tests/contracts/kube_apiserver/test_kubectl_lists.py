"""What kubectl checks by itself, against /openapi/v2, before it sends anything: files of `kind: List`."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from typing import Any

import orjson
import pytest

from keelson.api.errors import StatusError
from keelson.client.rest import Client
from tests.contracts.kube_apiserver.api_servers import Cluster

pytestmark = pytest.mark.lab

ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
GIVEN = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def deployment(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "image"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def service(namespace: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": "http"}]},
    }


def listed(*items: dict[str, Any]) -> str:
    return orjson.dumps({"apiVersion": "v1", "kind": "List", "items": items}).decode()


def fetch(cluster: Cluster, path: str, headers: Mapping[str, str]) -> tuple[int, Message, bytes]:
    context = ssl.create_default_context(cadata=cluster.authority.pem.decode())
    certificate, key = cluster.authority.issue("admin", ["system:masters"])
    context.load_cert_chain(cluster.write("fetch.crt", certificate), cluster.write("fetch.key", key))
    request = urllib.request.Request(cluster.server + path, headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


async def test_a_list_is_applied(cluster: Cluster, client: Client, namespace: str) -> None:
    text = listed(deployment(namespace, "web"), service(namespace, "web"))
    told = cluster.kubectl("apply", "-f", "-", input=text)
    assert told.split("\n")[:2] == ["deployment.apps/web created", "service/web created"]
    assert (await client.get("services", "web", namespace=namespace))["spec"]["clusterIP"]


async def test_what_get_prints_may_be_applied_again(cluster: Cluster, client: Client, namespace: str) -> None:
    cluster.kubectl("apply", "-f", "-", input=listed(deployment(namespace, "a"), service(namespace, "a")))
    before = await client.get("deployments.apps", "a", namespace=namespace)
    printed = cluster.kubectl("get", "deploy,svc", "-n", namespace, "-o", "yaml")
    assert "kind: List" in printed
    told = cluster.kubectl("apply", "--validate=strict", "-f", "-", input=printed)
    # What was applied last is now the whole of what was printed: that annotation is all that changes.
    assert told.split("\n")[:2] == ["deployment.apps/a configured", "service/a configured"]
    after = await client.get("deployments.apps", "a", namespace=namespace)
    assert after["spec"] == before["spec"]


async def test_an_unknown_field_in_a_list_is_refused(cluster: Cluster, namespace: str) -> None:
    text = listed(service(namespace, "b"), deployment(namespace, "b", nonsense=1))
    told = cluster.kubectl("apply", "--validate=strict", "-f", "-", input=text, check=False)
    assert 'unknown field "nonsense" in io.k8s.api.apps.v1.DeploymentSpec' in told
    assert "created" not in told
    assert not cluster.kubectl("get", "deploy,svc", "-n", namespace, "-o", "name")


async def test_a_wrong_type_in_a_list_is_refused(cluster: Cluster, namespace: str) -> None:
    text = listed(deployment(namespace, "b", replicas="three"))
    told = cluster.kubectl("apply", "-f", "-", input=text, check=False)
    assert 'invalid type for io.k8s.api.apps.v1.DeploymentSpec.replicas: got "string", expected "integer"' in told


async def test_a_list_holds_custom_resources(cluster: Cluster, client: Client, namespace: str) -> None:
    group = f"{namespace}.example.com"
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer", "minimum": 1, "default": 3},
                    "port": {"x-kubernetes-int-or-string": True},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    "empty": {"type": "array", "nullable": True, "items": {"type": "string"}},
                },
            }
        },
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    for plural, kind, shape in (("lamps", "Lamp", schema), ("blobs", "Blob", loose)):
        names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
        versions = [{**version, "schema": {"openAPIV3Schema": shape}}]
        await client.create(
            "customresourcedefinitions.apiextensions.k8s.io",
            {
                "metadata": {"name": f"{plural}.{group}"},
                "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": versions},
            },
        )
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{plural}.{group}", "--timeout=30s")

    def lamp(name: str, **spec: Any) -> dict[str, Any]:
        metadata = {"name": name, "namespace": namespace}
        return {"apiVersion": f"{group}/v1", "kind": "Lamp", "metadata": metadata, "spec": spec}

    good = lamp("good", size=2, port="http", free={"any": [1]}, empty=None)
    blob = {**lamp("blob"), "kind": "Blob", "anything": {"goes": True}}
    told = cluster.kubectl("apply", "--validate=strict", "-f", "-", input=listed(good, blob))
    assert told.count("created") == 2
    told = cluster.kubectl("apply", "--validate=strict", "-f", "-", input=listed(lamp("bad", bulb=1)), check=False)
    assert 'unknown field "bulb"' in told
    await client.delete("customresourcedefinitions.apiextensions.k8s.io", f"lamps.{group}")
    await client.delete("customresourcedefinitions.apiextensions.k8s.io", f"blobs.{group}")


async def test_the_document_in_both_forms(cluster: Cluster) -> None:
    zipped, unzipped = {"Accept": ASKED, "Accept-Encoding": "gzip"}, {"Accept": GIVEN, "Accept-Encoding": "gzip;q=0"}
    for _ in range(20):
        # Custom resources of other tests may be on their way out; the forms compare while the content stands still.
        code, headers, packed = fetch(cluster, "/openapi/v2", zipped)
        plain_code, plain_headers, plain = fetch(cluster, "/openapi/v2", unzipped)
        if headers["ETag"] == plain_headers["ETag"]:
            break
    assert (code, headers["Content-Type"], headers["Content-Encoding"]) == (200, GIVEN, "gzip")
    assert headers["Vary"] == "Accept, Accept-Encoding"
    assert (plain_code, plain_headers["Content-Type"], plain_headers["Content-Encoding"]) == (200, GIVEN, None)
    assert plain_headers["ETag"] == headers["ETag"]
    assert gzip.decompress(packed) == plain
    assert plain.startswith(b"\x0a\x032.0")
    for accept in ("application/json", "*/*", f"text/html, application/json, {ASKED};q=0.5"):
        code, other, body = fetch(cluster, "/openapi/v2", {"Accept": accept})
        assert (code, other["Content-Type"]) == (200, "application/json")
        assert orjson.loads(body)["swagger"] == "2.0"
        assert other["ETag"] != headers["ETag"]
    code, _, body = fetch(cluster, "/openapi/v2", {"Accept": ASKED, "If-None-Match": f'"x", W/{headers["ETag"]}'})
    assert (code, body) == (304, b"")
    assert fetch(cluster, "/openapi/v2", {"Accept": "text/html"})[0] == 406
    assert fetch(cluster, "/openapi/v3/api/v1", {"Accept": ASKED})[0] == 406


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/default/services/kubernetes/nonsense",
        "/api/v1/namespaces/default/pods/x/nonsense",
        "/api/v1/namespaces/default/pods/x/nonsense/more",
        "/api/v1/namespaces/default/nonsense",
        "/api/v1/nonsense",
        "/api/v1/nodes/x/binding",
        "/apis/apps/v1/nonsense",
        "/apis/apps/v1/namespaces/default/nonsense/x",
        "/apis/apps/v1/namespaces/default/deployments/x/nonsense",
    ],
)
async def test_what_no_built_in_version_has_is_told_in_a_status(cluster: Cluster, path: str) -> None:
    code, headers, body = fetch(cluster, path, {"Accept": "application/json"})
    assert (code, headers["Content-Type"]) == (404, "application/json")
    assert json.loads(body)["message"] == "the server could not find the requested resource"


@pytest.mark.parametrize(
    "path",
    [
        "/apis/apps/v2/deployments",
        "/apis/nonsense.example.com/v1/things",
        "/openapi/nonsense",
        "/openapi/v3/apis/nonsense/v1",
        "/nonsense",
    ],
)
async def test_what_is_not_served_is_not_found(cluster: Cluster, path: str) -> None:
    code, headers, body = fetch(cluster, path, {"Accept": "application/json"})
    # As Go's router has it: no Status, by which clients tell it from an object that isn't there.
    assert (code, headers["Content-Type"]) == (404, "text/plain; charset=utf-8")
    assert body == b"404 page not found\n"


async def test_many_who_ask_at_once_for_what_is_not_there(client: Client) -> None:
    asked = (client.request("GET", "/openapi/v3/apis/nonsense/v2") for _ in range(4))
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [each.code for each in found if isinstance(each, StatusError)] == [404] * 4
