"""An etcd that one server has filled is served by the other: upstream's by ours, and ours by upstream's.

The one writes an object of every kind (upstream in protobuf, some resources encrypted), stops, and the other starts on
what it left. Whatever the second has not changed for itself must read equal, byte for byte of JSON's values.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compatibility.wires import OWN, Wire, meant, snapshot, stored
from tests.contracts.kube_apiserver.api_servers import OURS, Cluster
from tests.contracts.storage.key_services import KeyService

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

HERE = Path(__file__).parent
CUSTOM = "example.com/v1/things"


def _key(letter: str) -> str:
    return base64.b64encode(letter.encode() * 32).decode()


ENCRYPTION = f"""
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers: [{{secretbox: {{keys: [{{name: one, secret: {_key("a")}}}]}}}}]
  - resources: [configmaps]
    providers: [{{aescbc: {{keys: [{{name: two, secret: {_key("b")}}}]}}}}, {{identity: {{}}}}]
  - resources: [things.example.com, leases.coordination.k8s.io]
    providers: [{{aesgcm: {{keys: [{{name: three, secret: {_key("c")}}}]}}}}]
  - resources: [serviceaccounts, deployments.apps]
    providers: [{{kms: {{apiVersion: v2, name: four, endpoint: "ENDPOINT"}}}}]
"""


@dataclass(frozen=True)
class Exchange:
    """The cluster, on its second server by now, and what the first one showed."""

    cluster: Cluster
    wire: Wire
    before: dict[str, Any]
    second: str


def _documents(name: str) -> Iterator[Any]:
    yield from yaml.safe_load_all((HERE / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=["upstream to ours", "ours to upstream"])
def exchange(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, upstream: Callable[[str], Path]
) -> Iterator[Exchange]:
    """An etcd filled by one server and served by the other."""
    theirs = (str(upstream("kube-apiserver")),)
    first, second = (theirs, OURS) if request.param == "upstream to ours" else (OURS, theirs)
    folder = tmp_path_factory.mktemp("exchange")
    configuration = folder / "encryption.yaml"
    service = KeyService(folder / "kms.sock")
    configuration.write_text(ENCRYPTION.replace("ENDPOINT", service.endpoint), encoding="utf-8")
    cluster = Cluster(folder, [f"--encryption-provider-config={configuration}"])
    cluster.program = first
    with service, cluster:
        cluster.kubectl("create", "-f", str(HERE / "objects.yaml"), "--validate=false")
        cluster.kubectl("wait", "--for=condition=Established", "crd/things.example.com")
        cluster.kubectl("apply", "--server-side", "-f", str(HERE / "custom_objects.yaml"), "--validate=false")
        wire = Wire(cluster)
        before = snapshot(wire, CUSTOM)
        cluster.stop_server()
        cluster.program = second
        cluster.start_server()
        yield Exchange(cluster, wire, before, request.param.rpartition(" ")[2])


def test_every_kind_is_among_what_was_written(exchange: Exchange) -> None:
    titles = {key.rsplit("/", 2)[0] for key in exchange.before}
    assert {f"{each.api_version}/{each.plural}" for each in stored()} <= titles
    assert CUSTOM in titles


def test_every_object_reads_equal(exchange: Exchange) -> None:
    after = snapshot(exchange.wire, CUSTOM)
    assert not [key for key in exchange.before if key not in after and not key.startswith(OWN)]
    differing: dict[str, tuple[Any, Any]] = {}
    rewritten: list[str] = []
    for key, old in exchange.before.items():
        new = after.get(key)
        if new is None or key.startswith(OWN):
            continue
        if old["metadata"]["resourceVersion"] != new["metadata"]["resourceVersion"]:
            rewritten.append(key)
        # What upstream has written, ours shows to the letter; ours writes as little as it was told.
        elif old != new and (exchange.second == "ours" or meant(old) != meant(new)):
            differing[key] = (old, new)
    assert not differing
    # The default roles of the one are those of the other, so neither has anything to add.
    assert not rewritten


def test_what_was_written_is_changed_and_deleted(exchange: Exchange) -> None:
    wire, path = exchange.wire, "/api/v1/namespaces/exchange/configmaps"
    before = wire.done("GET", path)["metadata"]["resourceVersion"]
    patch = {"metadata": {"labels": {"patched": "yes"}}}
    wire.done("PATCH", f"{path}/settings", patch, "application/merge-patch+json")
    wire.done("POST", path, {"metadata": {"name": "new"}, "data": {"a": "b"}})
    wire.done("DELETE", f"{path}/new")
    seen = wire.watch(f"{path}?resourceVersion={before}", 3)
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in seen] == [
        ("MODIFIED", "settings"),
        ("ADDED", "new"),
        ("DELETED", "new"),
    ]
    assert seen[0]["object"]["binaryData"] == {"raw": "AP8BAg=="}
    apply = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"minReadySeconds": 3}}
    query = "fieldManager=exchange"
    applied = wire.done(
        "PATCH", f"/apis/apps/v1/namespaces/exchange/deployments/web?{query}", apply, "application/apply-patch+yaml"
    )
    assert applied["spec"]["minReadySeconds"] == 3
    assert applied["spec"]["replicas"] == 0
    managers = {each["manager"] for each in applied["metadata"]["managedFields"]}
    assert managers == {"exchange", "kubectl-create"}


def test_addresses_and_ports_stay_taken(exchange: Exchange) -> None:
    wire, path = exchange.wire, "/api/v1/namespaces/exchange/services"
    web = exchange.before["v1/services/exchange/web"]["spec"]
    for taken in (
        {"clusterIP": web["clusterIP"], "ports": [{"port": 80}]},
        {"type": "NodePort", "ports": [{"port": 80, "nodePort": web["ports"][0]["nodePort"]}]},
    ):
        status, refused = wire.request("POST", path, {"metadata": {"name": "late"}, "spec": taken})
        assert status == 422, refused
        assert "already allocated" in refused["message"]
    wire.done("DELETE", f"{path}/balanced")
    freed = exchange.before["v1/services/exchange/balanced"]["spec"]["clusterIP"]
    again = wire.done(
        "POST", path, {"metadata": {"name": "late"}, "spec": {"clusterIP": freed, "ports": [{"port": 1}]}}
    )
    assert again["spec"]["clusterIP"] == freed
