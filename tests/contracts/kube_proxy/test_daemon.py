"""kube-proxy as a process against a real API server, in a node's namespace, seen by its packets."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contracts.kube_apiserver.api_servers import Cluster

from .networks import Daemon, Network, entered, eventually

pytestmark = pytest.mark.lab

CONFIGURATION = {
    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
    "kind": "KubeProxyConfiguration",
    "clusterCIDR": "10.8.0.0/16",
    "healthzBindAddress": "127.0.0.1:10256",
    "mode": "nftables",
    "nftables": {"syncPeriod": "1s", "minSyncPeriod": "100ms"},
}
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "n1"},
    "status": {"addresses": [{"type": "InternalIP", "address": "10.9.0.1"}]},
}
ADDRESS = "10.96.0.50"
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"clusterIP": ADDRESS, "clusterIPs": [ADDRESS], "ports": [{"port": 80, "targetPort": 8080}]},
}


class Place:
    """A node with two pods that serve, an API server, and kube-proxy."""

    def __init__(self, network: Network, cluster: Cluster, proxy: Daemon) -> None:
        self.network = network
        self.cluster = cluster
        self.proxy = proxy

    def endpoints(self, *pods: str) -> None:
        """Make these pods the endpoints of the Service web."""
        body = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "web-1",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "addressType": "IPv4",
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
            "endpoints": [
                {"addresses": [self.network.pods[pod]], "nodeName": "n1", "conditions": {"ready": True}} for pod in pods
            ],
        }
        self.cluster.kubectl("apply", "--validate=false", "--server-side", "-f", "-", input=json.dumps(body))

    def serves(self, *pods: str) -> bool:
        """Whether exactly these pods answer at the Service's address."""
        answers = self.network.ask("c", ADDRESS, 80, count=8 * len(pods) or 1)
        return {answer.split()[0] for answer in answers} == (set(pods) or {"refused"})


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("kube-proxy")
    with Network() as network, entered(network.namespace("node")), Cluster(folder) as cluster:
        network.pod("a", 8080)
        network.pod("b", 8080)
        network.pod("c")
        cluster.kubectl("create", "--validate=false", "-f", "-", input=json.dumps(NODE))
        cluster.kubectl("patch", "node", "n1", "--subresource=status", "-p", json.dumps({"status": NODE["status"]}))
        kubeconfig = cluster.kubeconfig("system:kube-proxy", ("system:node-proxier",))
        path = folder / "config.conf"
        path.write_text(yaml.safe_dump({**CONFIGURATION, "clientConnection": {"kubeconfig": kubeconfig}}))
        proxy = Daemon("keelson.kube_proxy", [f"--config={path}", "--hostname-override=n1"], folder / "kube-proxy.log")
        place = Place(network, cluster, proxy)
        cluster.kubectl("create", "--validate=false", "-f", "-", input=json.dumps(SERVICE))
        proxy.start()
        try:
            yield place
        finally:
            proxy.stop()


def _get(path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_endpoints_follow(place: Place) -> None:
    place.endpoints("a", "b")
    eventually(lambda: place.serves("a", "b"), "both pods answer")
    place.endpoints("b")
    eventually(lambda: place.serves("b"), "one pod answers")
    place.endpoints()
    eventually(lambda: place.serves(), "connections are refused")


def test_killed_it_serves_on_and_started_it_catches_up(place: Place) -> None:
    place.endpoints("a")
    eventually(lambda: place.serves("a"), "the pod answers")
    assert place.proxy.stop(signal.SIGKILL) == -signal.SIGKILL
    assert place.serves("a")
    place.endpoints("b")
    assert place.serves("a")
    place.proxy.start()
    eventually(lambda: place.serves("b"), "the change of the meantime is there")


def test_stopped_it_leaves_the_rules(place: Place) -> None:
    place.endpoints("a")
    eventually(lambda: place.serves("a"), "the pod answers")
    assert place.proxy.stop() == 0
    assert place.serves("a")
    place.proxy.start()
    eventually(lambda: _listening(), "it listens again")


def _listening() -> bool:
    try:
        return _get("10256/healthz")[0] == 200
    except OSError:
        return False


def test_a_removed_table_comes_back(place: Place) -> None:
    place.endpoints("a")
    eventually(lambda: place.serves("a"), "the pod answers")
    place.network.execute("node", "nft", "delete", "table", "ip", "kube-proxy")
    eventually(lambda: place.serves("a"), "the table is made anew")


def test_health_and_metrics(place: Place) -> None:
    status, text = _get("10256/healthz")
    assert status == 200
    assert json.loads(text)["nodeEligible"] is True
    assert _get("10256/livez")[0] == 200
    assert _get("10249/proxyMode") == (200, "nftables")
    assert "kubeproxy_sync_proxy_rules_duration_seconds_count" in _get("10249/metrics")[1]


def test_memory(place: Place) -> None:
    """Together with the kubelet it may take 150 MB."""
    eventually(_listening, "it listens")
    assert place.proxy.resident() < 75


def test_it_writes_no_error(place: Place) -> None:
    lines = Path(place.proxy.log).read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if line.startswith(("E", "Traceback"))]
