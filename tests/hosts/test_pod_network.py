"""The network between Pods: its configuration for the runtime, and the ways to the other hosts' Pods."""

import ipaddress
import json
from typing import Any

from tests.hosts import machines
from tests.hosts.clusters import Cluster
from tests.hosts.machines import Machine

ROLE = "pod_network"


def test_runtime_has_a_network(host: Any) -> None:
    """CNI (1.0 and later): the first configuration of the folder is the one that is used."""
    folder = "/etc/cni/net.d"
    names = host.check_output(f"ls {folder}").split()
    first = min(name for name in names if name.endswith((".conf", ".conflist")))
    document = json.loads(host.file(f"{folder}/{first}").content_string)
    assert document["plugins"][0]["ipam"]["type"] == "host-local"


def test_other_hosts_pods_are_behind_them(
    host: Any, cluster: Cluster, machine: Machine, all_machines: list[Machine]
) -> None:
    for other in all_machines:
        if other.name == machine.name or ROLE not in other.groups:
            continue
        pods = ipaddress.ip_network(cluster.node(other.name).spec.pod_cidr)
        way = json.loads(host.check_output(f"ip -json route get {pods[1]}"))[0]
        assert way.get("gateway") == other.address


def test_sandbox(host: Any) -> None:
    names = ("User", "NoNewPrivileges", "ProtectSystem", "CapabilityBoundingSet")
    assert machines.properties(host, "pod-network.service", *names) == {
        "User": "pod-network",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "CapabilityBoundingSet": "cap_net_admin",
    }
