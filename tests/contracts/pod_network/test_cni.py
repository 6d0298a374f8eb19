"""The CNI configuration that the daemon writes, carried out by the real plugins."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keelson.pod_network.decisions import plans
from tests.contracts.kube_proxy.networks import Network, run

pytestmark = pytest.mark.lab

PLUGINS = Path("/usr/lib/cni")


class Runtime:
    """What a container runtime does with a network list (CNI specification, section 3), for one node."""

    def __init__(self, network: Network, leases: Path) -> None:
        self._network = network
        self._document = json.loads(plans.cni_configuration(["10.8.0.0/24"], 1400))
        # The leases of the daemon lie in a folder of the host; a test has its own.
        self._document["plugins"][0]["ipam"]["dataDir"] = str(leases)
        self._results: dict[str, Any] = {}

    def add(self, pod: str) -> str:
        """Attach a pod's namespace; its address."""
        run("ip", "netns", "add", self._network.namespace(pod))
        self._network.pods[pod] = ""
        result: Any = None
        for plugin in self._document["plugins"]:
            result = json.loads(self._call("ADD", pod, plugin, result))
        self._results[pod] = result
        address = str(result["ips"][0]["address"]).partition("/")[0]
        self._network.pods[pod] = address
        return address

    def delete(self, pod: str) -> None:
        """Detach a pod's namespace."""
        for plugin in reversed(self._document["plugins"]):
            self._call("DEL", pod, plugin, self._results[pod])

    def _call(self, command: str, pod: str, plugin: dict[str, Any], previous: Any) -> str:
        configuration = {**plugin, "cniVersion": self._document["cniVersion"], "name": self._document["name"]}
        if previous:
            configuration["prevResult"] = previous
        environment = {
            **os.environ,
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": pod,
            "CNI_NETNS": f"/run/netns/{self._network.namespace(pod)}",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(PLUGINS),
        }
        done = subprocess.run(
            ["ip", "netns", "exec", self._network.namespace("node"), str(PLUGINS / plugin["type"])],
            input=json.dumps(configuration).encode(),
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
        return done.stdout.decode()


@pytest.fixture(name="network")
def _network() -> Iterator[Network]:
    if not (PLUGINS / "ptp").exists() or shutil.which("nft") is None:
        pytest.fail("CNI plugins or nft are missing: apt-get install containernetworking-plugins nftables")
    with Network() as network:
        yield network


def test_pods_get_addresses_and_reach_each_other(network: Network, tmp_path: Path) -> None:
    runtime = Runtime(network, tmp_path)
    addresses = {pod: runtime.add(pod) for pod in ("p", "q")}
    assert all(address.startswith("10.8.0.") for address in addresses.values())
    assert len(set(addresses.values())) == 2
    network.serve("q", 8080)
    network.serve("outside", 9000)
    assert network.ask("p", addresses["q"], 8080) == [f"q {addresses['p']}"]
    assert network.ask("node", addresses["q"], 8080)[0].startswith("q ")
    assert "mtu 1400" in network.execute("p", "ip", "link", "show", "eth0")

    # Without masquerading the outside sees the pod; with it, the node.
    assert network.ask("p", "10.9.0.2", 9000) == [f"outside {addresses['p']}"]
    own = plans.NodeNetwork("n1", ("10.8.0.0/24",), ("10.9.0.1",))
    wanted = plans.plan([own], "n1")
    assert wanted is not None
    network.execute("node", "nft", "-f", "-", text=plans.masquerading(wanted))
    assert network.ask("p", "10.9.0.2", 9000) == ["outside 10.9.0.1"]
    assert network.ask("p", addresses["q"], 8080) == [f"q {addresses['p']}"], "pods see each other's own addresses"

    runtime.delete("p")
    assert not [each for each in (tmp_path / "keelson").iterdir() if each.name == addresses["p"]]
