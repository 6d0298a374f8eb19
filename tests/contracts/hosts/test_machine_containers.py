"""A machine container as a host: what making, reading, powering and deleting it promise, on the real kernel."""

import ipaddress
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from components.hosts import cgroups, leftovers, machine_containers, networks
from components.hosts.errors import HostError
from components.hosts.labs import Lab
from components.hosts.machine_containers import Spec
from components.hosts.networks import Network

Run = Callable[..., str]

pytestmark = pytest.mark.lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(clone=tmp_path, stack="t")
    yield lab
    for name in machine_containers.names(lab):
        machine_containers.delete(lab, name)
    networks.delete(lab)
    for leftover in leftovers.find(tmp_path):
        leftovers.clear(leftover)


@pytest.fixture
def network(lab: Lab) -> Network:
    return networks.ensure(lab)


def spec(network: Network, image: str, number: int) -> Spec:
    return Spec(name=f"t-node-{number}", address=str(network.hosts()[number]), image=image)


def traces(lab: Lab) -> list[str]:
    """Return what the machine still has of the lab, as words that a failed assertion shows."""
    found = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(lab.clone) in line]
    found += [entry.name for entry in Path("/run/netns").glob(f"*{lab.id}*")]
    found += [str(path) for path in cgroups.mount_point().glob(f"keelson*/*{lab.id}*")]
    links = json.loads(subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True).stdout)
    found += [link["ifname"] for link in links if link["ifname"] == lab.link]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"--machine={lab.namespace}-" in command:
            found.append(command)
    return found


def test_two_hosts_are_reached_by_their_pinned_keys_and_reach_each_other(
    lab: Lab, network: Network, image: str, run: Run
) -> None:
    specs = [spec(network, image, number) for number in (1, 2)]
    with ThreadPoolExecutor() as pool:
        one, two = pool.map(lambda wanted: machine_containers.create(lab, wanted), specs)

    assert run(one.host, "hostname") == "t-node-1\n"
    assert run(two.host, "hostname") == "t-node-2\n"
    assert one.host.host_key != two.host.host_key
    assert run(one.host, "cat /etc/machine-id") != run(two.host, "cat /etc/machine-id")
    assert "1 received" in run(one.host, f"ping -c 1 -W 2 {two.host.address}")
    with pytest.raises(AssertionError, match="Host key verification failed"):
        run(replace(two.host, host_key=one.host.host_key), "true")


def test_data_directories_are_no_overlay_and_keep_their_owner(lab: Lab, network: Network, image: str, run: Run) -> None:
    state = machine_containers.create(lab, spec(network, image, 1))

    said = run(state.host, "stat --file-system --format=%T / /var/lib/containerd /var/lib/etcd /var/lib/kubelet")
    root, *data = said.split()
    assert root == "overlayfs"
    assert "overlayfs" not in data
    assert run(state.host, "stat --format='%U %a' /var/lib/etcd") == "etcd 700\n"
    assert str(lab.clone) not in Path("/proc/self/mountinfo").read_text()


def test_power_is_cut_at_once_and_what_was_written_is_there_after(
    lab: Lab, network: Network, image: str, run: Run
) -> None:
    wanted = spec(network, image, 1)
    before = machine_containers.create(lab, wanted)
    run(before.host, "echo kept >/etc/kept && sync")

    machine_containers.power_off(lab, wanted.name)
    off = machine_containers.read(lab, wanted.name)
    assert off is not None
    assert not off.running
    machine_containers.power_off(lab, wanted.name)

    after = machine_containers.power_on(lab, wanted.name)
    assert after.running
    assert after.leader != before.leader
    assert after.host == before.host
    assert run(after.host, "cat /etc/kept") == "kept\n"


def test_shutdown_stops_services_in_order(lab: Lab, network: Network, image: str, run: Run) -> None:
    wanted = spec(network, image, 1)
    state = machine_containers.create(lab, wanted)
    run(state.host, "systemd-run --quiet --property=ExecStop='/bin/touch /etc/stopped' sleep infinity")

    machine_containers.shutdown(lab, wanted.name)

    off = machine_containers.read(lab, wanted.name)
    assert off is not None
    assert not off.running
    assert (lab.hosts_directory / wanted.name / "upper/etc/stopped").exists()


def test_create_again_changes_nothing(lab: Lab, network: Network, image: str) -> None:
    wanted = spec(network, image, 1)
    first = machine_containers.create(lab, wanted)
    assert machine_containers.create(lab, wanted) == first
    with pytest.raises(HostError, match="t-node-1 exists"):
        machine_containers.create(lab, Spec(name=wanted.name, address=str(network.hosts()[9]), image=image))


def test_create_completes_what_a_killed_create_left(lab: Lab, network: Network, image: str, run: Run) -> None:
    wanted = spec(network, image, 1)
    folder = lab.hosts_directory / wanted.name
    (folder / "upper/etc").mkdir(parents=True)
    (folder / "upper/etc/hostname").write_text("half")
    assert machine_containers.read(lab, wanted.name) is None

    state = machine_containers.create(lab, wanted)

    assert run(state.host, "hostname") == f"{wanted.name}\n"


KILLED_AT = """
import os, pathlib, signal, sys
from components.hosts import labs, machine_containers, {module}
original = {module}.{function}
def killed(*arguments, **options):
    if {after}:
        original(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
{module}.{function} = killed
lab = labs.Lab(clone=pathlib.Path(sys.argv[1]), stack="t")
machine_containers.{verb}(lab, {what})
"""


def kill_within(lab: Lab, verb: str, what: str, module: str, function: str, *, after: bool) -> None:
    """Run `verb` in a process of its own that kills itself before or after it calls the function."""
    text = KILLED_AT.format(verb=verb, what=what, module=module, function=function, after=after)
    done = subprocess.run([sys.executable, "-c", text, str(lab.clone)], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize(
    ("module", "function", "after"),
    [
        ("host_trees", "prepare", True),
        ("cgroups", "make", True),
        ("machine_containers", "_run_launcher", True),
        ("machine_containers", "_answers_ssh", True),
    ],
)
def test_create_that_was_killed_is_completed_by_the_next(
    lab: Lab, network: Network, image: str, run: Run, module: str, function: str, after: bool
) -> None:
    wanted = spec(network, image, 1)
    kill_within(lab, "create", f"machine_containers.{wanted!r}", module, function, after=after)
    assert run(machine_containers.create(lab, wanted).host, "hostname") == "t-node-1\n"


@pytest.mark.parametrize(
    ("module", "function", "after"),
    [
        ("cgroups", "kill", True),
        ("machine_containers", "_remove_port", True),
        ("machine_containers", "shutil.rmtree", False),
    ],
)
def test_delete_that_was_killed_is_completed_by_the_next(
    lab: Lab, network: Network, image: str, module: str, function: str, after: bool
) -> None:
    wanted = spec(network, image, 1)
    machine_containers.create(lab, wanted)
    kill_within(lab, "delete", repr(wanted.name), module, function, after=after)

    machine_containers.delete(lab, wanted.name)
    networks.delete(lab)

    assert traces(lab) == []
    assert not lab.directory.exists()


def test_delete_leaves_nothing(lab: Lab, network: Network, image: str) -> None:
    wanted = spec(network, image, 1)
    machine_containers.create(lab, wanted)
    assert traces(lab)

    machine_containers.delete(lab, wanted.name)
    networks.delete(lab)

    assert traces(lab) == []
    assert not lab.directory.exists()
    machine_containers.delete(lab, wanted.name)
    networks.delete(lab)


def test_hosts_of_another_lab_do_not_pin_a_deleted_one(
    lab: Lab, network: Network, image: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Lab(clone=tmp_path_factory.mktemp("other"), stack="t")
    try:
        theirs = networks.ensure(other)
        assert not theirs.subnet.overlaps(network.subnet)
        namespace = Path("/run/netns", lab.namespace).stat().st_ino
        machine_containers.create(other, spec(theirs, image, 1))
        networks.delete(lab)
        for process in Path("/proc").glob("[0-9]*/mountinfo"):
            try:
                mounts = process.read_text()
            except (FileNotFoundError, ProcessLookupError, OSError):
                continue
            assert f"net:[{namespace}]" not in mounts, process
    finally:
        machine_containers.delete(other, "t-node-1")
        networks.delete(other)
    assert traces(other) == []


def test_an_address_or_network_in_use_is_named(lab: Lab, network: Network, image: str, tmp_path: Path) -> None:
    wanted = spec(network, image, 1)
    machine_containers.create(lab, wanted)
    with pytest.raises(HostError, match=f"{wanted.address} is taken by t-node-1"):
        machine_containers.create(lab, Spec(name="t-node-2", address=wanted.address, image=image))
    with pytest.raises(HostError, match=f"{network.operator} is not one"):
        machine_containers.create(lab, Spec(name="t-node-2", address=str(network.operator), image=image))
    with pytest.raises(HostError, match=str(network.subnet)):
        networks.ensure(Lab(clone=tmp_path, stack="u"), network.subnet)
    with pytest.raises(HostError, match=r"127\.0\.0\.0"):
        networks.ensure(Lab(clone=tmp_path, stack="u"), ipaddress.IPv4Network("127.0.0.0/24"))


def test_what_a_deleted_clone_left_is_found_and_cleared(tmp_path: Path, image: str) -> None:
    gone = Lab(clone=tmp_path / "gone", stack="t")
    gone.clone.mkdir()
    network = networks.ensure(gone)
    machine_containers.create(gone, spec(network, image, 1))
    shutil.rmtree(gone.clone)
    mine = tmp_path / "mine"
    mine.mkdir()

    found = [leftover for leftover in leftovers.find(mine) if gone.id in leftover.what]
    assert len(found) == 2
    for leftover in found:
        leftovers.clear(leftover)

    assert traces(gone) == []


def test_a_lab_in_order_has_no_leftovers(lab: Lab, network: Network, image: str) -> None:
    machine_containers.create(lab, spec(network, image, 1))
    assert leftovers.find(lab.clone) == []
    (lab.hosts_directory / "t-node-1/host.json").unlink()
    kinds = [(leftover.cgroup is not None, leftover.folder is not None) for leftover in leftovers.find(lab.clone)]
    assert kinds == [(True, False), (False, True)]


def test_a_network_that_lost_a_part_is_completed(lab: Lab, network: Network) -> None:
    assert networks.read(lab) == network
    subprocess.run(["ip", "link", "delete", lab.link], check=True)
    assert networks.read(lab) is None
    assert networks.ensure(lab) == network
    assert networks.read(lab) == network
