"""A machine that was started outside Pulumi is adopted by the stack `metal`, and is let go by its destroy as it was."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components.hosts import machine_containers, networks, ssh_keys
from components.hosts.labs import Lab
from components.hosts.models import Host
from images.machine import recipes, trees
from tests.clusters import Stack, ssh

pytestmark = pytest.mark.lab

NAME = "own-1"
OWNERS = "198.51.100.9 the-owners-own"
# Of files of accounts, such as /etc/passwd-, useradd(8) keeps the last but one.
LOOK = """
find /etc /opt /usr /root /srv /var/lib -xdev -type f ! -path '/etc/*-' -printf '%p %m %u %s\\n'
systemctl list-unit-files --no-legend
systemctl list-units --no-legend --plain --type=service --state=running | awk '{print $1}' | grep -v '^systemd-'
nft list ruleset
ip -brief address
ip route
getent passwd
[ ! -d /run/netns ] || ls /run/netns
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A machine of somebody's, with a file and a line of its owner's."""
    lab = Lab(clone=tmp_path_factory.mktemp("owner"), stack="own")
    network = networks.ensure(lab)
    image = str(trees.tree(recipes.load()))
    try:
        spec = machine_containers.Spec(name=NAME, address=str(network.hosts()[0]), image=image)
        host = machine_containers.create(lab, spec).host
        ssh(host, f"echo '{OWNERS}' >> /etc/hosts; echo precious > /srv/precious")
        yield host
    finally:
        machine_containers.delete(lab, NAME)
        networks.delete(lab)


@pytest.fixture(scope="module")
def stack(clone: Path, machine: Host) -> Iterator[Stack]:
    """The stack `metal` of the clone; it is destroyed afterwards, whatever it is by then."""
    # Asked for so that it is there until the stack is gone.
    del machine
    with Stack(clone, "metal").own_settings() as stack:
        yield stack


def different(before: str, after: str) -> list[str]:
    return sorted(set(before.splitlines()) ^ set(after.splitlines()))


def declare(stack: Stack, host: Host) -> None:
    described = {
        "role": "controlPlane",
        "name": host.name,
        "address": host.address,
        "hostKey": host.host_key,
        "privateKeyFile": host.private_key_path,
    }
    stack.configure({"hostKind": "bareMetal", "machines": [described]})


def test_adopted_converged_verified_and_let_go_unharmed(stack: Stack, machine: Host) -> None:
    before = ssh(machine, LOOK)

    _, public = ssh_keys.pair("another")
    declare(stack, replace(machine, host_key=" ".join(public.split()[:2])))
    ended = stack.try_make("up")
    assert ended.status != 0
    assert f"{NAME} ({machine.address}:22): presents another SSH host key" in ended.told
    assert different(before, ssh(machine, LOOK)) == []

    declare(stack, machine)
    stack.make("up")
    assert stack.make("hosts").split()[:2] == [NAME, machine.address]
    assert OWNERS not in ssh(machine, "cat /etc/hosts")
    assert stack.make("ssh", f"HOST={NAME}", "CMD=systemctl is-active kubelet") == "active\n"

    stack.make("destroy")
    assert different(before, ssh(machine, LOOK)) == []
    assert OWNERS in ssh(machine, "cat /etc/hosts")
    assert ssh(machine, "cat /srv/precious") == "precious\n"
