"""Upstream's sample extension server behind ours: its delegated authentication and authorisation, storage, discovery,
OpenAPI and watches, as an operator of a metrics adapter would find them.
"""

from __future__ import annotations

import asyncio
import base64
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from keelson.api.errors import StatusError
from keelson.api.resources import Resource
from keelson.client import kubeconfigs
from keelson.client.rest import Client
from tests import waits
from tests.contracts.kube_apiserver.api_servers import Authority, Cluster
from tests.contracts.kube_apiserver.test_aggregation import API_SERVICES, until
from tests.contracts.storage.etcd_members import free_port

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

FLUNDERS = Resource("wardle.example.com", "v1alpha1", "Flunder", "flunders", True, "flunder")


class Sample(NamedTuple):
    """An API server, and the sample server that it does not know of yet."""

    cluster: Cluster
    authority: Authority
    port: int


@pytest.fixture
def sample(tmp_path: Path, upstream: Callable[[str], Path]) -> Iterator[Sample]:
    program = upstream("sample-apiserver")
    authority, port = Authority("wardle"), free_port()
    with Cluster(tmp_path / "cluster") as cluster:
        certificate, key = authority.issue("api", names=["api.wardle.svc"], addresses=["127.0.0.1"])
        admin = cluster.kubeconfig("wardle", ["system:masters"])
        command = [
            str(program),
            f"--etcd-servers={cluster.etcd.endpoint}",
            f"--tls-cert-file={cluster.write('wardle.crt', certificate)}",
            f"--tls-private-key-file={cluster.write('wardle.key', key)}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            *(f"--{name}={admin}" for name in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")),
        ]
        with (tmp_path / "sample.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield Sample(cluster, authority, port)
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture
async def client(sample: Sample) -> AsyncIterator[Client]:
    """A client of the API server, where the sample server is registered and available."""
    config = kubeconfigs.load(str(sample.cluster.folder / "admin.conf"))
    async with Client(config, user_agent="suite") as found:
        await _register(found, sample.authority, sample.port)
        yield found


async def _register(client: Client, authority: Authority, port: int) -> None:
    await client.create("namespaces", {"metadata": {"name": "wardle"}})
    spec: dict[str, Any] = {"type": "ExternalName", "externalName": "localhost"}
    await client.create("services", {"metadata": {"name": "api", "namespace": "wardle"}, "spec": spec})
    for version in ("v1alpha1", "v1beta1"):
        await client.create(
            API_SERVICES,
            {
                "metadata": {"name": f"{version}.wardle.example.com"},
                "spec": {
                    "group": "wardle.example.com",
                    "version": version,
                    "groupPriorityMinimum": 2000,
                    "versionPriority": 200,
                    "caBundle": base64.b64encode(authority.pem).decode(),
                    "service": {"namespace": "wardle", "name": "api", "port": port},
                },
            },
        )
    for version in ("v1alpha1", "v1beta1"):
        await until(client, f"{version}.wardle.example.com", "True", "Passed")


def eventually(cluster: Cluster, wanted: str, *arguments: str) -> str:
    """What kubectl prints once that has `wanted` in it; nothing tells when aggregated documents were fetched."""

    def shown() -> str:
        text = cluster.kubectl(*arguments, check=False)
        return text if wanted in text else ""

    return waits.blocked_until(shown, f"{wanted} in {' '.join(arguments)}", seconds=30)


async def test_the_sample_server_is_served_as_if_it_were_ours(sample: Sample, client: Client) -> None:
    metadata = {"name": "one", "namespace": "default", "labels": {"sample": "true"}}
    made = await client.create(FLUNDERS, {"metadata": metadata, "spec": {"reference": "x"}})
    assert made["metadata"]["uid"]
    seen: list[str] = []

    async def follow() -> None:
        query = {"watch": "true", "resourceVersion": made["metadata"]["resourceVersion"]}
        async with client.stream("GET", FLUNDERS.path("default"), query=query, timeout=20) as answer:
            async for line in answer.content:
                seen.append(orjson.loads(line)["type"])
                if seen[-1] == "DELETED":
                    return

    watching = asyncio.create_task(follow())
    listed = await client.list(FLUNDERS, namespace="default", label_selector="sample=true")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["one"]
    changed = await client.patch(FLUNDERS, "one", {"metadata": {"labels": {"more": "1"}}}, namespace="default")
    assert changed["metadata"]["labels"]["more"] == "1"
    other = Resource("wardle.example.com", "v1beta1", "Flunder", "flunders", True, "flunder")
    assert (await client.get(other, "one", namespace="default"))["apiVersion"] == "wardle.example.com/v1beta1"
    await client.delete(FLUNDERS, "one", namespace="default")
    async with asyncio.timeout(20):
        await watching
    assert seen == ["MODIFIED", "DELETED"]
    # The other server asks ours what a user may do there.
    nobody = kubeconfigs.load(sample.cluster.kubeconfig("eve", ()))
    async with Client(nobody, user_agent="suite") as eve:
        with pytest.raises(StatusError) as caught:
            await eve.list(FLUNDERS, namespace="default")
    assert caught.value.code == 403


@pytest.mark.usefixtures("client")
def test_kubectl_sees_one_api(sample: Sample) -> None:
    kubectl = sample.cluster.kubectl
    shown = eventually(sample.cluster, "flunders", "api-resources", "--api-group=wardle.example.com")
    assert ["flunders", "wardle.example.com/v1beta1", "true", "Flunder"] in [
        line.split() for line in shown.splitlines()
    ]
    eventually(sample.cluster, "apis/wardle.example.com/v1alpha1", "get", "--raw", "/openapi/v3")
    assert "FIELDS" in kubectl("explain", "flunders.wardle.example.com")
    document = orjson.loads(kubectl("get", "--raw", "/openapi/v3/apis/wardle.example.com/v1alpha1"))
    assert "/apis/wardle.example.com/v1alpha1/namespaces/{namespace}/flunders" in document["paths"]
    swagger = orjson.loads(kubectl("get", "--raw", "/openapi/v2"))
    item = swagger["paths"]["/apis/wardle.example.com/v1alpha1/flunders"]["get"]
    name = item["responses"]["200"]["schema"]["$ref"].removeprefix("#/definitions/")
    assert "items" in swagger["definitions"][name]["properties"]
    assert "/api/v1/pods" in swagger["paths"]
    groups = orjson.loads(kubectl("get", "--raw", "/apis"))["groups"]
    (wardle,) = [group for group in groups if group["name"] == "wardle.example.com"]
    assert [version["version"] for version in wardle["versions"]] == ["v1beta1", "v1alpha1"]
