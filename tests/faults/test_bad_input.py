"""Bad input gets one clear error that names the key or the host, before anything changed where that can be known.

| what is bad | where it is proven |
|---|---|
| overlapping networks, an even number of etcd members, an unknown key | tests/unit/stacks/test_settings.py |
| the same by `make up`, as an operator sees it | here |
| a network or an address that is taken | tests/contracts/hosts/test_machine_containers.py; by `make up`, here |
| a wrong SSH host key, an unreachable machine | here |
| a full disk, a missing kernel feature | here |
| an interruption, in each phase | tests/faults/test_interruptions.py |
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components.hosts import machine_containers, networks
from components.hosts.labs import Lab
from components.hosts.models import Host
from components.provider.convergence import Convergence
from components.provider.kinds import Context, ResourceError, Shared
from components.provider.property_values import Properties
from images.machine import recipes, trees
from tests import traces
from tests.clusters import Cluster, Stack

pytestmark = pytest.mark.lab

Refuse = Callable[[Host], str]
OnHost = Callable[[str], str]

_VARIABLES = {
    "base_bundle_archive": "/nonexistent/bundle.tar.zst",
    "base_bundle_version": "0",
    "base_bundle_digest": "0" * 64,
    "base_ca_certificate": "-----BEGIN CERTIFICATE-----\n",
    "base_hosts": [],
}


class Silence:
    """A reporter that nobody reads."""

    def status(self, message: str) -> None:
        """Take no note."""

    def info(self, message: str) -> None:
        """Take no note."""

    def warning(self, message: str) -> None:
        """Take no note."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A machine that runs, with nothing of ours on it."""
    lab = Lab(clone=tmp_path_factory.mktemp("clone"), stack="bad")
    network = networks.ensure(lab)
    spec = machine_containers.Spec(name="bad-1", address=str(network.hosts()[0]), image=str(trees.tree(recipes.load())))
    try:
        yield machine_containers.create(lab, spec).host
    finally:
        machine_containers.delete(lab, spec.name)
        networks.delete(lab)


@pytest.fixture
def on_host(host: Host, tmp_path: Path) -> OnHost:
    pins = tmp_path / "known_hosts"
    pins.write_text(host.known_hosts_line())

    def run(command: str) -> str:
        options = ["-F", "none", "-o", f"UserKnownHostsFile={pins}", "-i", host.private_key_path]
        words = ["ssh", *options, f"{host.user}@{host.address}", command]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def refusal(host: Host, on_host: OnHost) -> Iterator[Refuse]:
    """Converge a host that must be refused, and give the error; afterwards nothing was placed on the real one."""

    async def converge(target: Host) -> None:
        convergence = Convergence()
        context = Context("urn:pulumi:bad::keelson::keelson:index:Convergence::bad-1", Silence(), Shared())
        given = {"host": target.as_properties(), "roles": ["base"], "variables": _VARIABLES}
        inputs, failures = await convergence.check(context, Properties(given))
        assert failures == []
        await convergence.create(context, inputs)

    def refuse(target: Host) -> str:
        with pytest.raises(ResourceError) as refused:
            asyncio.run(converge(target))
        said = str(refused.value)
        assert "\n" not in said
        assert "bad-1" in said
        return said

    yield refuse
    assert on_host("ls -d /var/lib/keelson /opt/keelson /etc/kubernetes 2>/dev/null; true") == ""


def test_a_wrong_ssh_host_key(host: Host, refusal: Refuse, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    other = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    said = refusal(replace(host, host_key=other))
    assert "presents another SSH host key than the pinned one" in said
    assert host.address in said


def test_a_host_key_of_a_type_that_the_host_does_not_have(host: Host, refusal: Refuse, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(tmp_path / "key")], check=True)
    other = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    assert "host key" in refusal(replace(host, host_key=other))


def test_a_machine_that_is_not_there(host: Host, refusal: Refuse) -> None:
    nobody = host.address.rpartition(".")[0] + ".250"
    said = refusal(replace(host, address=nobody))
    assert f"({nobody}:22): does not answer SSH" in said


def test_a_machine_that_does_not_listen(host: Host, refusal: Refuse) -> None:
    said = refusal(replace(host, port=2222))
    assert f"({host.address}:2222): does not answer SSH" in said


def test_a_key_that_the_machine_does_not_accept(host: Host, refusal: Refuse, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    said = refusal(replace(host, private_key_path=str(tmp_path / "key")))
    assert "does not accept the key" in said


def test_a_full_disk(host: Host, refusal: Refuse, on_host: OnHost) -> None:
    on_host("mount -t tmpfs -o size=16m tmpfs /opt")
    try:
        said = refusal(host)
    finally:
        on_host("umount /opt")
    assert "/opt has 16 MiB free, and 512 MiB are needed" in said


def test_a_kernel_without_overlayfs(host: Host, refusal: Refuse, on_host: OnHost) -> None:
    # As the host's kernel would tell it; it has no modules to load either.
    on_host("grep -v overlay /proc/filesystems >/run/filesystems && mount --bind /run/filesystems /proc/filesystems")
    try:
        said = refusal(host)
    finally:
        on_host("umount /proc/filesystems")
    assert "its kernel has no file system overlay" in said


@contextlib.contextmanager
def refused_stack(clone: Path, settings: dict[str, str]) -> Iterator[str]:
    """Bring up a stack that must be refused; gives what was shown, once it is sure that nothing was made."""
    stack = Stack(clone, "bad")
    file = clone / "stacks" / "Pulumi.bad.yaml"
    file.write_text(json.dumps({"config": {f"keelson:{key}": value for key, value in settings.items()}}))
    lab = Lab(clone=clone, stack=stack.name)
    try:
        ended = stack.try_make("up")
        assert ended.status != 0
        assert [trace for trace in traces.of(lab) if trace != str(lab.directory)] == []
        yield ended.told
    finally:
        stack.make("destroy")
        file.unlink()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"controlPlane": "2"}, "keelson:controlPlane"),
        ({"colour": "red"}, "keelson:colour"),
        ({"podNetwork": "10.200.0.0/16", "serviceNetwork": "10.200.0.0/20"}, "keelson:serviceNetwork"),
    ],
)
def test_make_up_with_settings_that_cannot_be(clone: Path, settings: dict[str, str], key: str) -> None:
    with refused_stack(clone, settings) as told:
        errors = re.findall("error: (.*)", told.partition("Diagnostics:")[2])
        assert len(errors) == 1, told
        assert errors[0].startswith(f"{key}: ")


def test_make_up_on_a_network_that_is_taken(cluster: Cluster) -> None:
    taken = cluster.hosts[0].address.rpartition(".")[0] + ".0/24"
    with refused_stack(cluster.stack.clone, {"hostNetwork": taken}) as told:
        assert f"the hosts' network {taken} of lab" in told
        assert "choose another network" in told
        assert "Traceback" not in told
