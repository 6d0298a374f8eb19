"""pod-network as a process against a real API server, in a node's namespace: files, routes, rules and packets."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.kube_apiserver.api_servers import Cluster
from tests.contracts.kube_proxy.networks import Daemon, Network, entered, eventually

pytestmark = pytest.mark.lab


class Place:
    """A node `n1` (10.9.0.1, pods 10.8.0.0/24) whose neighbour on the wire is 10.9.0.2."""

    def __init__(self, network: Network, cluster: Cluster, daemon: Daemon, cni: Path) -> None:
        self.network = network
        self.cluster = cluster
        self.daemon = daemon
        self.cni = cni / "10-keelson.conflist"

    def node(self, name: str, cidr: str, address: str) -> None:
        """Create a Node with a pod CIDR and an InternalIP."""
        status = {"addresses": [{"type": "InternalIP", "address": address}]}
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"podCIDR": cidr}}
        self.cluster.kubectl("create", "--validate=false", "-f", "-", input=json.dumps({**body, "status": status}))
        self.cluster.kubectl("patch", "node", name, "--subresource=status", "-p", json.dumps({"status": status}))

    def routes(self) -> dict[str, str]:
        """Our routes in the kernel."""
        listed = json.loads(self.network.execute("node", "ip", "-j", "route", "show", "proto", "75") or "[]")
        return {each["dst"]: each["gateway"] for each in listed}


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Iterator[Place]:
    with Network() as network, entered(network.namespace("node")), Cluster(tmp_path) as cluster:
        cni = tmp_path / "net.d"
        arguments = [f"--kubeconfig={tmp_path / 'admin.conf'}", "--node-name=n1", f"--cni-conf-dir={cni}"]
        daemon = Daemon("keelson.pod_network", arguments, tmp_path / "pod-network.log")
        daemon.start()
        try:
            yield Place(network, cluster, daemon, cni)
        finally:
            daemon.stop()


def test_a_node_s_life(place: Place) -> None:
    network = place.network
    assert not place.cni.exists(), "nothing before the node has a CIDR"
    place.node("n1", "10.8.0.0/24", "10.9.0.1")
    eventually(place.cni.exists, "the CNI configuration is written")
    link = json.loads(place.cni.read_text(encoding="utf-8"))["plugins"][0]
    assert link["ipam"]["ranges"] == [[{"subnet": "10.8.0.0/24"}]]
    assert link["mtu"] == 1500

    # Another node's route comes and goes with it; what somebody else routes stays.
    network.execute("node", "ip", "route", "add", "10.66.0.0/24", "via", "10.9.0.2")
    place.node("n2", "10.8.1.0/24", "10.9.0.2")
    place.node("far", "10.8.2.0/24", "192.0.2.9")
    eventually(lambda: place.routes().get("10.8.1.0/24") == "10.9.0.2", "the route is set")
    # The default route leads there, but not as a neighbour: refused by the kernel, and no harm to the others.
    assert "10.8.2.0/24" not in place.routes()

    # Killed, its work stays; started again it removes what ended meanwhile.
    place.daemon.stop(signal.SIGKILL)
    assert place.routes() == {"10.8.1.0/24": "10.9.0.2"}
    place.cluster.kubectl("delete", "node", "n2")
    place.daemon.start()
    eventually(lambda: place.routes() == {}, "the route is gone")
    assert "10.66.0.0/24" in network.execute("node", "ip", "route")

    # Pods leave the cluster under the node's address.
    network.pod("a")
    network.serve("outside", 9000)
    assert network.ask("a", "10.9.0.2", 9000) == ["outside 10.9.0.1"]
    assert place.daemon.resident() < 75
