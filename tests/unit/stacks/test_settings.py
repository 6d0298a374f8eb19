"""Every sentence of a bad configuration names its key, and the defaults make stacks that never meet."""

import ipaddress
import json
from itertools import combinations

import pytest

from stacks import networks, settings
from stacks.values import SettingsError

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGa9"


HYPERVISOR = {
    "hostKind": "libvirtVm",
    "hypervisor": "qemu+ssh://root@192.0.2.5/system",
    "hypervisorHostKey": KEY,
}


def parse(config: dict[str, str] | None = None, stack: str = "dev") -> settings.Settings:
    return settings.parse(stack=stack, clone_id="0a1b2c", config=config or {})


def machines(*items: dict[str, object]) -> dict[str, str]:
    return {"hostKind": "bareMetal", "machines": json.dumps(items)}


def machine(address: str, role: str = "controlPlane", **more: object) -> dict[str, object]:
    return {"role": role, "address": address, "hostKey": KEY, **more}


def test_defaults_are_one_control_plane_host_and_one_node() -> None:
    stack = parse()
    assert [item.name for item in stack.machines] == ["dev-cp-1", "dev-node-1"]
    assert stack.virtual_address is None
    assert stack.endpoint_address == stack.control_plane[0].address
    assert ipaddress.ip_address(stack.dns_address) in ipaddress.ip_network(stack.service_network)


def test_three_control_plane_hosts_share_a_virtual_address() -> None:
    stack = parse({"controlPlane": "3", "nodes": "2"}, stack="ha")
    assert len(stack.control_plane) == 3
    assert stack.endpoint_address == stack.virtual_address
    assert stack.virtual_address not in {item.address for item in stack.machines}


def test_stacks_of_one_clone_never_share_a_network() -> None:
    stacks = [networks.derive("0a1b2c", name) for name in ("dev", "ha", "vm", "metal", "test", "mine")]
    for one, other in combinations(stacks, 2):
        for key, network in one.items():
            assert not ipaddress.ip_network(network).overlaps(ipaddress.ip_network(other[key]))


def test_virtual_machines_have_a_hypervisor() -> None:
    stack = parse({**HYPERVISOR, "vmBridge": "br0", "hostNetwork": "192.0.2.0/24"}, stack="vm")
    assert stack.hypervisor is not None
    assert (stack.hypervisor.bridge, stack.hypervisor.cpus) == ("br0", 2)
    assert (stack.host_gateway, stack.host_prefix) == ("192.0.2.1", 24)
    assert [machine.name for machine in stack.machines] == ["vm-cp-1", "vm-node-1"]


def test_adopted_machines_keep_what_was_said_of_them() -> None:
    stack = parse(machines(machine("192.0.2.7", name="alpha", port=2222, user="admin"), machine("192.0.2.8", "node")))
    assert [(item.name, item.address, item.port, item.user) for item in stack.machines] == [
        ("alpha", "192.0.2.7", 2222, "admin"),
        ("dev-node-1", "192.0.2.8", 22, "root"),
    ]


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"contorlPlane": "3"}, "contorlPlane"),
        ({"controlPlane": "2"}, "controlPlane"),
        ({"controlPlane": "three"}, "controlPlane"),
        ({"controlPlane": "0"}, "controlPlane"),
        ({"nodes": "-1"}, "nodes"),
        ({"nodes": "200", "podNetwork": "10.200.0.0/18"}, "podNetwork"),
        ({"hostKind": "cloud"}, "hostKind"),
        ({"hostNetwork": "10.64.1.0/29", "nodes": "9"}, "hostNetwork"),
        ({"hostNetwork": "10.64.1.7/24"}, "hostNetwork"),
        ({"podNetwork": "10.64.0.0/16", "hostNetwork": "10.64.1.0/24"}, "podNetwork"),
        ({"serviceNetwork": "10.200.0.0/20", "podNetwork": "10.200.0.0/16"}, "serviceNetwork"),
        ({"serviceNetwork": "172.16.0.0/30"}, "serviceNetwork"),
        ({"virtualAddress": "10.64.1.9"}, "virtualAddress"),
        ({"controlPlane": "3", "hostNetwork": "10.64.1.0/24", "virtualAddress": "10.64.2.9"}, "virtualAddress"),
        ({"controlPlane": "3", "hostNetwork": "10.64.1.0/24", "virtualAddress": "10.64.1.11"}, "virtualAddress"),
        ({"controlPlane": "3", "hostNetwork": "10.64.1.0/24", "virtualAddress": "10.64.1.255"}, "virtualAddress"),
        ({"controlPlane": "3", "virtualAddress": "vip.example"}, "virtualAddress"),
        ({"clusterDomain": "Cluster.Local"}, "clusterDomain"),
        ({"certificateDays": "1"}, "certificateDays"),
        ({"machines": "[]"}, "machines"),
        ({"purpose": "fun"}, "purpose"),
        ({"vmBridge": "br0"}, "vmBridge"),
        ({**HYPERVISOR, "hypervisor": "qemu:///system"}, "hypervisor"),
        ({"hostKind": "libvirtVm"}, "hypervisor"),
        ({**HYPERVISOR, "hypervisorHostKey": "ssh-rsa AAAA"}, "hypervisorHostKey"),
        ({**HYPERVISOR, "vmBridge": "br 0"}, "vmBridge"),
        ({**HYPERVISOR, "vmMemory": "64"}, "vmMemory"),
        ({"hostKind": "bareMetal"}, "machines"),
        ({"hostKind": "bareMetal", "machines": "{"}, "machines"),
        ({**machines(machine("192.0.2.7")), "nodes": "1"}, "nodes"),
        (machines(machine("192.0.2.7"), machine("192.0.2.7", "node")), "machines"),
        (machines(machine("192.0.2.7", name="a"), machine("192.0.2.8", "node", name="a")), "machines"),
        (machines(machine("192.0.2.7"), machine("192.0.2.8")), "machines"),
        (machines({"role": "node", "address": "192.0.2.7"}), "machines[0].hostKey"),
        (machines(machine("192.0.2.7", hostKey="AAAA")), "machines[0].hostKey"),
        (machines(machine("192.0.2.7", port="22")), "machines[0].port"),
        (machines(machine("192.0.2.7", port=0)), "machines[0].port"),
        (machines(machine("192.0.2.7", colour="red")), "machines[0].colour"),
        (machines(machine("host.example")), "machines[0].address"),
        (machines(machine("192.0.2.7", role="worker")), "machines[0].role"),
        (machines(machine("192.0.2.7", name="Alpha")), "machines[0].name"),
        ({**machines(machine("192.0.2.7")), "podNetwork": "192.0.0.0/16"}, "podNetwork"),
        (machines(*(machine(f"192.0.2.{number}") for number in (1, 2, 3))), "virtualAddress"),
    ],
)
def test_bad_configuration_names_its_key(config: dict[str, str], key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(config)
    assert caught.value.key == key
    assert str(caught.value).startswith(f"keelson:{key}: ")
    assert "\n" not in str(caught.value)


def test_a_stack_name_that_cannot_name_hosts_is_refused() -> None:
    with pytest.raises(SettingsError, match="host names"):
        parse(stack="Prod_1")


def test_foreign_keys_are_left_alone() -> None:
    stack = settings.of_project(
        {"other:key": "1", "keelson:nodes": "2"}, namespace="keelson", stack="dev", clone_id="0a1b2c"
    )
    assert len(stack.nodes) == 2
