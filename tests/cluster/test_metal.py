"""A machine that was started outside Pulumi is adopted by the stack `metal`, and is let go by its destroy as it was."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from components.hosts import machine_containers, networks, ssh_keys
from components.hosts.labs import Lab
from components.hosts.models import Host
from images.machine import recipes, trees
from tests.clusters import Stack

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
ls /run/netns 2>/dev/null
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
    stack = Stack(clone, "metal")
    as_cloned = settings(stack).read_text()
    yield stack
    stack.make("destroy")
    settings(stack).write_text(as_cloned)


def settings(stack: Stack) -> Path:
    return stack.clone / "stacks" / f"Pulumi.{stack.name}.yaml"


def ssh(host: Host, command: str) -> str:
    pins = Path(host.private_key_path).with_name("pins")
    pins.write_text(host.known_hosts_line())
    options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={pins}"]
    target = ["-i", host.private_key_path, f"{host.user}@{host.address}"]
    done = subprocess.run(["ssh", *options, *target, command], capture_output=True, text=True, check=False)
    # The look's last command ends with 2 where there is nothing to list.
    assert done.returncode in (0, 2), done.stderr
    return done.stdout


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
    settings(stack).write_text(
        yaml.safe_dump({"config": {"keelson:hostKind": "bareMetal", "keelson:machines": [described]}})
    )


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
