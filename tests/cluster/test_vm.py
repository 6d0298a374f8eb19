"""A virtual machine of the stack `vm` boots on a hypervisor, and the roles base and containerd converge on it.

A machine container plays the hypervisor, reached as any other: by SSH. Where the machine has no KVM it emulates, which
makes Python some 27 times slower than it is; hence the night.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.hosts import machine_containers, networks
from components.hosts.labs import Lab
from components.hosts.models import Host
from images.machine import recipes, trees
from tests.clusters import Stack, ssh

pytestmark = [pytest.mark.nightly, pytest.mark.lab]

NAME = "hypervisor"
_PLACE = 200
# The hypervisor's port becomes one of a bridge's, which takes over its address: as on machines that serve libvirt.
BRIDGE = """
set -e
mac=$(cat /sys/class/net/host0/address)
systemctl stop systemd-networkd.socket systemd-networkd.service
ip link add br0 address "$mac" type bridge
ip address flush dev host0
ip link set host0 master br0
ip link set br0 up
ip address add {address}/24 dev br0
ip route add default via {gateway}
"""


@dataclass(frozen=True)
class Hypervisor:
    """The machine with libvirt, and the network that its bridge is in."""

    host: Host
    network: ipaddress.IPv4Network


@pytest.fixture(scope="module")
def hypervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hypervisor]:
    lab = Lab(clone=tmp_path_factory.mktemp("owner"), stack="own")
    network = networks.ensure(lab)
    address = network.subnet[_PLACE]
    image = str(trees.tree(recipes.load(recipes.HYPERVISOR)))
    try:
        spec = machine_containers.Spec(name=NAME, address=str(address), image=image)
        host = machine_containers.create(lab, spec).host
        script = BRIDGE.format(address=address, gateway=network.gateway)
        # Run by the machine itself, since it holds up the connection that asks for it.
        ssh(host, "cat >/run/bridge", script)
        ssh(host, "systemd-run --quiet --collect --wait sh /run/bridge")
        yield Hypervisor(host, network.subnet)
    finally:
        machine_containers.delete(lab, NAME)
        networks.delete(lab)


@pytest.fixture(scope="module")
def stack(clone: Path, hypervisor: Hypervisor) -> Iterator[Stack]:
    """The stack `vm` of the clone; it is destroyed afterwards, whatever it is by then."""
    # Asked for so that it is there until the stack is gone.
    del hypervisor
    with Stack(clone, "vm").own_settings() as stack:
        yield stack


def declare(stack: Stack, hypervisor: Hypervisor) -> None:
    host = hypervisor.host
    values = {
        "purpose": "hosts",
        "hostKind": "libvirtVm",
        "controlPlane": "1",
        "nodes": "0",
        "hypervisor": f"qemu+ssh://{host.user}@{host.address}/system",
        "hypervisorHostKey": host.host_key,
        "hypervisorPrivateKeyFile": host.private_key_path,
        "vmBridge": "br0",
        "hostNetwork": str(hypervisor.network),
        "vmMemory": "2048",
    }
    stack.configure(values)


def test_boots_converges_is_verified_and_is_gone(stack: Stack, hypervisor: Hypervisor) -> None:
    declare(stack, hypervisor)
    stack.make("up")
    name, address, roles = stack.make("hosts").split()
    assert (name, roles) == ("vm-cp-1", "base,containerd")
    assert ipaddress.ip_address(address) in hypervisor.network
    assert stack.make("ssh", f"HOST={name}", "CMD=systemd-detect-virt").strip() in ("qemu", "kvm")
    assert stack.make("ssh", f"HOST={name}", "CMD=systemctl is-active containerd") == "active\n"
    assert name in ssh(hypervisor.host, "virsh list --name")

    quiet = stack.pulumi("preview", "--refresh", "--expect-no-changes", "--non-interactive")
    assert quiet.status == 0, quiet.told

    stack.make("destroy")
    assert ssh(hypervisor.host, "virsh list --all --name").strip() == ""
    assert ssh(hypervisor.host, "virsh pool-list --all --name").strip() == ""
