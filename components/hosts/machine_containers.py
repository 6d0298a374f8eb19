"""Hosts as machine containers: systemd-nspawn boots the machine image in a lab's network, in seconds and without KVM.

Everything that a container has on the operator's machine hangs on three handles: its folder in the lab, its cgroup and
its port on the lab's bridge. So what is running is read from the kernel and never from a record of ours, and a host
outlives the process that made it. On a machine with systemd as PID 1 the cgroup is that of a delegated unit, elsewhere
it is one that we make; nothing else differs.
"""

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from components.hosts import cgroups, files, host_trees, networks, processes, ssh_keys
from components.hosts.errors import HostError
from components.hosts.labs import Lab
from components.hosts.models import Enforcement, Host
from components.setup import caches, commands

_LAUNCH = Path(__file__).with_name("launch.sh")
_SYSTEMD = Path("/run/systemd/system")
_CAP_SYS_RESOURCE = 24
_CONSOLE_LINES = 12
_PROBE_MILLISECONDS = 100


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a host is asked to be: its name, its IPv4 address in the lab's subnet, and the image's tree."""

    name: str
    address: str
    image: str


@dataclass(frozen=True, kw_only=True)
class State:
    """What a host is. `leader` is the process that is PID 1 inside, or None while the host is off."""

    spec: Spec
    host: Host
    leader: int | None

    @property
    def running(self) -> bool:
        """Whether the host is powered on; it may still be booting."""
        return self.leader is not None


def create(lab: Lab, spec: Spec, *, timeout_seconds: float = 120.0) -> State:
    """Return the host that `spec` describes, running and answering SSH; made, completed or started if need be.

    Whatever a killed create or delete left is finished first. Raises HostError if the lab has no network, the address
    is not free in it, a tool is missing, another host of this name differs from `spec`, or the host does not boot.
    """
    network = networks.read(lab)
    if network is None:
        raise HostError(f"lab {lab.id} has no network", "make its network before its hosts")
    _check(lab, network, spec)
    with _locked(lab, spec.name):
        state = read(lab, spec.name)
        if state is None:
            _prepare(lab, network, spec)
        elif state.spec != spec:
            raise HostError(f"host {spec.name} exists as {state.spec}", "delete it before it is made anew")
        return _start(lab, spec.name, timeout_seconds)


def read(lab: Lab, name: str) -> State | None:
    """Return the host as it is, or None if there is no such host."""
    try:
        recorded = json.loads((_folder(lab, name) / "host.json").read_text())
    except FileNotFoundError:
        return None
    spec = Spec(**recorded["spec"])
    host = Host(
        name=spec.name,
        address=spec.address,
        host_key=recorded["host_key"],
        private_key_path=str(lab.directory / "id_ed25519"),
        architecture=recorded["architecture"],
        enforces=enforcement(),
    )
    return State(spec=spec, host=host, leader=processes.leader(cgroup(lab, name)))


def names(lab: Lab) -> list[str]:
    """Return the names of the lab's hosts, sorted."""
    return sorted(path.parent.name for path in lab.hosts_directory.glob("*/host.json"))


def delete(lab: Lab, name: str) -> None:
    """Remove the host and everything it has; what is gone already is no error."""
    if not lab.hosts_directory.is_dir():
        return
    with _locked(lab, name):
        _stop(lab, name)
        folder = _folder(lab, name)
        if folder.exists():
            # Renamed first: a folder that is being removed must never be taken for a host.
            folder.rename(_discarded(lab, name))
        if _discarded(lab, name).exists():
            shutil.rmtree(_discarded(lab, name))


def power_off(lab: Lab, name: str) -> None:
    """Pull the plug: every process of the host is killed at once. No error if it is off already."""
    with _locked(lab, name):
        _existing(lab, name)
        _stop(lab, name)


def power_on(lab: Lab, name: str, *, timeout_seconds: float = 120.0) -> State:
    """Start a host that is off, and wait until it answers SSH. No error if it is on already."""
    with _locked(lab, name):
        _existing(lab, name)
        return _start(lab, name, timeout_seconds)


def shutdown(lab: Lab, name: str, *, timeout_seconds: float = 120.0) -> None:
    """Have the host's systemd stop everything in order, and wait for the end; raise HostError if it takes too long."""
    with _locked(lab, name):
        _existing(lab, name)
        supervisor = processes.supervisor(cgroup(lab, name))
        if supervisor is not None:
            with processes.held(supervisor) as descriptor:
                if descriptor is not None:
                    signal.pidfd_send_signal(descriptor, signal.SIGTERM)
                    if not processes.ends(descriptor, timeout_seconds):
                        raise HostError(f"host {name} does not shut down", "power it off")
        _stop(lab, name)


def enforcement() -> Enforcement:
    """Return what the operator's machine lets a container enforce."""
    status = Path("/proc/self/status").read_text()
    bounding = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
    return Enforcement(
        cgroup_controllers=cgroups.controllers(), oom_score=bool(int(bounding, 16) >> _CAP_SYS_RESOURCE & 1)
    )


def cgroup(lab: Lab, name: str) -> Path:
    """Return the cgroup that holds all of the host's processes while it is on."""
    root = cgroups.mount_point()
    if _SYSTEMD.is_dir():
        return root / "keelson.slice" / f"{lab.machine(name)}.service"
    return root / "keelson" / lab.id / name


def console(lab: Lab, name: str) -> Path:
    """Return the file with what the host wrote to its console in all its boots."""
    return _folder(lab, name) / "console.log"


def _check(lab: Lab, network: networks.Network, spec: Spec) -> None:
    if spec.address not in map(str, network.hosts()):
        raise HostError(
            f"host {spec.name}: address {spec.address} is not one that {network.subnet} has for hosts",
            f"use {network.hosts()[0]} to {network.hosts()[-1]}",
        )
    for other in names(lab):
        state = read(lab, other)
        if state and other != spec.name and state.spec.address == spec.address:
            raise HostError(f"host {spec.name}: address {spec.address} is taken by {other}", "give each its own")
    if not (Path(spec.image) / "usr/lib/systemd/systemd").exists():
        raise HostError(f"host {spec.name}: {spec.image} is no machine image", "build it: python -m images.machine")
    # mount(8) would read them as the end of the folder's name.
    if any(character in f"{lab.directory}{spec.image}" for character in ",:\\"):
        raise HostError(f"{lab.directory} has a character that overlayfs options cannot hold", "rename the folder")
    if not _mounts_overlays():
        raise HostError("this machine's kernel has no overlayfs, which hosts lie on", "load it: modprobe overlay")
    for tool in ("systemd-nspawn", "nsenter", "unshare", "setsid"):
        if shutil.which(tool) is None:
            raise HostError(f"{tool} is not installed", "apt-get install systemd-container util-linux")


def _mounts_overlays() -> bool:
    # proc_filesystems(5) lists what is loaded; mount(8) would load the module by itself where there is one.
    if "overlay" in Path("/proc/filesystems").read_text().split():
        return True
    probe = ["modprobe", "--dry-run", "--quiet", "overlay"]
    return shutil.which("modprobe") is not None and subprocess.run(probe, check=False).returncode == 0


def _prepare(lab: Lab, network: networks.Network, spec: Spec) -> None:
    folder = _folder(lab, spec.name)
    for left in (_discarded(lab, spec.name), folder):
        if left.exists():
            shutil.rmtree(left)
    folder.mkdir(mode=0o700)
    private, public = ssh_keys.pair(spec.name)
    host_trees.prepare(
        folder,
        Path(spec.image),
        name=spec.name,
        address=spec.address,
        prefix=network.subnet.prefixlen,
        gateway=str(network.gateway),
        host_key=private,
        host_key_line=public,
        authorized_key=ssh_keys.ensure(lab.directory / "id_ed25519", f"operator@{lab.id}"),
    )
    key = " ".join(public.split()[:2])
    files.write(folder / "known_hosts", f"{spec.address} {key}\n")
    architecture = commands.capture(["dpkg", "--print-architecture"]).strip()
    # Last: a folder without it is an unfinished one.
    content = {"spec": asdict(spec), "host_key": key, "architecture": architecture}
    files.write(folder / "host.json", json.dumps(content, indent=1) + "\n", mode=0o600)


def _start(lab: Lab, name: str, timeout_seconds: float) -> State:
    deadline = time.monotonic() + timeout_seconds
    supervisor = processes.supervisor(cgroup(lab, name))
    if supervisor is None:
        _launch(lab, name)
        supervisor = processes.supervisor(cgroup(lab, name))
    state = _existing(lab, name)
    if supervisor is None:
        raise _failure(lab, name, "ended at once")
    with processes.held(supervisor) as descriptor:
        while not _answers_ssh(state.host.address, state.host.port):
            # The wait between two probes is a wait for the container's end, so a failure is seen when it happens.
            if descriptor is None or processes.ends(descriptor, _PROBE_MILLISECONDS / 1000):
                raise _failure(lab, name, "ended while it booted")
            if time.monotonic() > deadline:
                raise _failure(lab, name, f"does not answer SSH after {timeout_seconds:.0f} s")
    return _existing(lab, name)


def _launch(lab: Lab, name: str) -> None:
    _stop(lab, name)
    state = _existing(lab, name)
    folder = _folder(lab, name)
    place = cgroup(lab, name)
    machine = lab.machine(name)
    nspawn = [
        "--boot",
        "--quiet",
        "--settings=no",
        f"--machine={machine}",
        f"--hostname={name}",
        "--keep-unit",
        f"--register={'yes' if _SYSTEMD.is_dir() else 'no'}",
        f"--network-bridge={networks.BRIDGE}",
        # A host is a machine of its own: its roles load rules, mount and trace as on metal.
        "--capability=all",
        "--console=pipe",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--bind=/dev/net/tun",
        # The kubelet reads the kernel's log for out-of-memory kills.
        "--bind-ro=/dev/kmsg",
        *(f"--bind={host_trees.data_directory(folder, path)}:{path}" for path in host_trees.DATA_DIRECTORIES),
        # For PID 1 (kernel-command-line(7)): a unit that fails or hangs while booting is told on the console.
        "systemd.show_status=error",
    ]
    layers = [state.spec.image, *(str(folder / part) for part in ("upper", "work", "root", "console.log"))]
    if _SYSTEMD.is_dir():
        unit = [
            "systemd-run",
            f"--unit={machine}",
            "--slice=keelson.slice",
            "--collect",
            "--quiet",
            "--property=Type=exec",
            "--property=Delegate=yes",
            "--property=KillMode=mixed",
            "--property=TimeoutStopSec=120",
            f"--property=StandardOutput=append:{folder / 'console.log'}",
            "--property=StandardError=inherit",
            str(_LAUNCH),
            "-",
        ]
        commands.capture([*unit, lab.namespace, *layers, "--", *nspawn])
    else:
        cgroups.make(place)
        _run_launcher([str(_LAUNCH), str(place), lab.namespace, *layers, "--", *nspawn])


def _run_launcher(arguments: list[str]) -> None:
    # No inherited descriptor but the three: the container would keep locks of ours, and pipes of the engine, open.
    done = subprocess.run(
        arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/", close_fds=True, check=False
    )
    if done.returncode != 0:
        raise HostError("cannot start a machine container", done.stderr.strip() or f"status {done.returncode}")


def _stop(lab: Lab, name: str) -> None:
    """Kill what runs of the host, and remove its cgroup and its port on the bridge."""
    place = cgroup(lab, name)
    cgroups.kill(place)
    if _SYSTEMD.is_dir():
        _forget_unit(f"{lab.machine(name)}.service")
    elif place.exists():
        cgroups.remove(place)
    _remove_port(lab, name)


def _forget_unit(unit: str) -> None:
    """Wait until the service manager has done with a unit whose processes were killed, so that its name is free."""
    # Stopping waits for the end of what is under way. 5: there is no such unit, as the manager was done before us.
    for verb in ("stop", "reset-failed"):
        done = subprocess.run(["systemctl", verb, unit], capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1, 5):
            raise HostError(f"cannot stop {unit}", done.stderr.strip())


def _remove_port(lab: Lab, name: str) -> None:
    """Remove the host's end on the bridge, which the kernel would do in its own time after the last process."""
    if not Path("/run/netns", lab.namespace).exists():
        return
    # nspawn shortens the name to what an interface may have, and gives the whole one as an alternative.
    whole = f"vb-{lab.machine(name)}"
    listed = commands.capture(["ip", "-n", lab.namespace, "-json", "link", "show", "master", networks.BRIDGE])
    for link in json.loads(listed or "[]"):
        if whole in (link.get("ifname"), *link.get("altnames", ())):
            done = subprocess.run(
                ["ip", "-n", lab.namespace, "link", "delete", link["ifname"]],
                capture_output=True,
                text=True,
                check=False,
            )
            # The kernel may have been faster.
            if done.returncode != 0 and "Cannot find device" not in done.stderr:
                raise HostError(f"cannot remove the network port of host {name}", done.stderr.strip())


def _answers_ssh(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=2.0) as connection:
            return connection.recv(8).startswith(b"SSH-2.0")
    except OSError:
        # Not yet: no route, no listener, or reset while sshd starts. The caller keeps the deadline.
        return False


def _failure(lab: Lab, name: str, what: str) -> HostError:
    try:
        lines = console(lab, name).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    said = "; ".join(line.strip() for line in lines[-_CONSOLE_LINES:] if line.strip())
    return HostError(f"host {name} {what}", f"see {console(lab, name)}: {said or 'nothing was written'}")


def _existing(lab: Lab, name: str) -> State:
    state = read(lab, name)
    if state is None:
        raise HostError(f"lab {lab.id} has no host {name}", f"it has: {', '.join(names(lab)) or 'none'}")
    return state


def _folder(lab: Lab, name: str) -> Path:
    return lab.hosts_directory / name


def _discarded(lab: Lab, name: str) -> Path:
    return lab.hosts_directory / f".{name}.discarded"


@contextmanager
def _locked(lab: Lab, name: str) -> Iterator[None]:
    with caches.locked(lab.hosts_directory / f".{name}.lock", f"host {name}"):
        yield
