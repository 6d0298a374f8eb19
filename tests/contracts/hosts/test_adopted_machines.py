"""An adoption is refused in one sentence that names the machine, and a look at one changes nothing."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from components.hosts import ssh_keys
from components.hosts.models import Host
from components.provider.adopted_machine import AdoptedMachine
from components.provider.kinds import Context, ResourceError, Shared
from components.provider.property_values import Properties
from tests.contracts.hosts.conftest import Run

pytestmark = pytest.mark.lab


class Silent:
    """A reporter for operations whose progress nobody follows; warnings are kept."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def status(self, message: str) -> None:
        pass

    def info(self, message: str) -> None:
        pass

    def warning(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def context() -> Context:
    return Context("urn:pulumi:t::keelson::keelson:index:AdoptedMachine::b-1", Silent(), Shared())


@pytest.fixture
def inputs(host: Host) -> dict[str, Any]:
    return {
        "name": host.name,
        "address": host.address,
        "port": host.port,
        "user": host.user,
        "host_key": host.host_key,
        "private_key_path": host.private_key_path,
        "role": "controlPlane",
        "balanced": True,
    }


@pytest.fixture
def changed(host: Host, run: Run) -> Iterator[Any]:
    """Return `changed(change, undo)`, which changes the machine for the length of one test."""
    undone: list[str] = []

    def change(command: str, undo: str) -> None:
        undone.append(undo)
        run(host, command)

    yield change
    for undo in reversed(undone):
        run(host, undo)


def traces(host: Host, run: Run) -> str:
    return run(host, "find /etc /opt /usr /var/lib /root -xdev -newer /etc/machine-id -printf '%p %T@\\n' | sort")


async def test_a_fit_machine_is_adopted_without_a_change(
    context: Context, inputs: dict[str, Any], host: Host, run: Run
) -> None:
    before = traces(host, run)
    created = await AdoptedMachine().create(context, inputs)
    assert created.identifier == host.name
    assert created.outputs["host"] == host.as_properties()
    # The image has what a machine needs.
    assert created.outputs["variables"]["base_packages"] == []
    assert created.outputs["before"]["units"]["containerd.service"] == {
        "there": True,
        "enabled": False,
        "active": False,
    }
    assert traces(host, run) == before


async def test_another_host_key_is_refused(context: Context, inputs: dict[str, Any]) -> None:
    _, public = ssh_keys.pair("another")
    inputs["host_key"] = " ".join(public.split()[:2])
    with pytest.raises(ResourceError, match=r"^b-1 \(.*presents another SSH host key"):
        await AdoptedMachine().create(context, inputs)


async def test_an_unreachable_machine_is_named(context: Context, inputs: dict[str, Any]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        inputs.update(address="127.0.0.1", port=unused.getsockname()[1])
        with pytest.raises(ResourceError, match=r"^b-1 \(127\.0\.0\.1:\d+\): does not answer SSH"):
            await AdoptedMachine().create(context, inputs)


async def test_a_missing_private_key_is_named_before_anything_is_tried(
    context: Context, inputs: dict[str, Any]
) -> None:
    _, failures = await AdoptedMachine().check(context, Properties({**inputs, "private_key_path": "/nowhere/id"}))
    assert [(failure.key, failure.reason) for failure in failures] == [
        ("private_key_path", "b-1: there is no file /nowhere/id")
    ]


async def test_a_key_that_the_machine_does_not_know_is_refused(
    context: Context, inputs: dict[str, Any], tmp_path: Any
) -> None:
    ssh_keys.ensure(tmp_path / "id", "stranger")
    with pytest.raises(ResourceError, match=r"^b-1 \(.*does not accept the key .* for user root"):
        await AdoptedMachine().create(context, {**inputs, "private_key_path": str(tmp_path / "id")})


async def test_a_full_disk_is_refused(context: Context, inputs: dict[str, Any], changed: Any) -> None:
    changed("mount -t tmpfs -o size=8m none /opt", "umount /opt")
    with pytest.raises(ResourceError, match=r"^b-1: /opt has \d MiB free, and \d+ MiB are needed$"):
        await AdoptedMachine().create(context, inputs)


async def test_a_missing_kernel_feature_is_refused(context: Context, inputs: dict[str, Any], changed: Any) -> None:
    hide = "grep -v overlay /proc/filesystems > /run/known && mount --bind /run/known /proc/filesystems"
    # The container shares its kernel, whose modules it cannot see: what is not listed cannot be had.
    changed(hide, "umount /proc/filesystems")
    with pytest.raises(ResourceError, match=r"^b-1: its kernel has no file system overlay$"):
        await AdoptedMachine().create(context, inputs)


async def test_another_clusters_machine_is_refused(context: Context, inputs: dict[str, Any], changed: Any) -> None:
    changed("mkdir -p /etc/kubernetes/manifests && touch /etc/kubernetes/manifests/etcd.yaml", "rm -r /etc/kubernetes")
    with pytest.raises(ResourceError, match=r"^b-1 \(.*has another cluster's files in /etc/kubernetes"):
        await AdoptedMachine().create(context, inputs)


async def test_a_port_that_is_taken_is_refused(context: Context, inputs: dict[str, Any], changed: Any) -> None:
    changed(
        "systemd-run --quiet --unit=taker socat TCP-LISTEN:6443,fork /dev/null; "
        "while ! ss --listening --tcp --numeric | grep -q :6443; do systemctl is-active --quiet taker; done",
        "systemctl stop taker",
    )
    with pytest.raises(ResourceError, match=r"^b-1 \(.*something listens on port 6443 already"):
        await AdoptedMachine().create(context, inputs)


async def test_a_machine_of_another_name_is_refused(context: Context, inputs: dict[str, Any]) -> None:
    with pytest.raises(ResourceError, match=r"^alpha \(.*calls itself b-1"):
        await AdoptedMachine().create(context, {**inputs, "name": "alpha"})


async def test_a_release_does_not_touch_a_machine_with_another_key(
    context: Context, inputs: dict[str, Any], host: Host, run: Run
) -> None:
    created = await AdoptedMachine().create(context, inputs)
    before = traces(host, run)
    _, public = ssh_keys.pair("another")
    await AdoptedMachine().delete(context, host.name, {**created.outputs, "host_key": " ".join(public.split()[:2])})
    assert isinstance(context.report, Silent)
    assert "nothing was released" in context.report.warnings[0]
    assert traces(host, run) == before
