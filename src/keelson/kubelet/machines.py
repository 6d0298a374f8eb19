"""Reads what this machine is and how it fares: /proc, /sys, /etc, statvfs(3)."""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass
from pathlib import Path

from .decisions.node_objects import Machine

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}


def architecture() -> str:
    """The machine's architecture by Go's name, which the API uses."""
    found = platform.machine()
    return _ARCHITECTURES.get(found, found)


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        # Absent on some machines (no DMI, no machine id yet); the field is then empty, as upstream leaves it.
        return ""


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def memory_total() -> int:
    """The machine's memory in bytes."""
    return meminfo()["MemTotal"]


def meminfo() -> dict[str, int]:
    """/proc/meminfo in bytes (proc_meminfo(5))."""
    result = {}
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        number, _, unit = rest.strip().partition(" ")
        result[name] = int(number) * (1024 if unit == "kB" else 1)
    return result


def controllers() -> frozenset[str]:
    """The cgroup v2 controllers that can be used here; empty on v1 and where none are delegated (cgroups(7))."""
    return frozenset(_first_line("/sys/fs/cgroup/cgroup.controllers").split())


def machine(root: Path, hostname: str) -> Machine:
    """What the machine is; `root` lies on the file system that counts as the node's."""
    disk = os.statvfs(root)
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory=memory_total(),
        disk=disk.f_blocks * disk.f_frsize,
        hostname=hostname,
        architecture=architecture(),
        kernel=platform.release(),
        os_image=_os_image(),
        machine_id=_first_line("/etc/machine-id"),
        boot_id=_first_line("/proc/sys/kernel/random/boot_id"),
        system_uuid=_first_line("/sys/class/dmi/id/product_uuid") or _first_line("/etc/machine-id"),
        controllers=controllers(),
    )


@dataclass(frozen=True, slots=True)
class Room:
    """What is left: bytes, inodes, process ids."""

    memory: int
    disk: int
    disk_total: int
    inodes: int
    inodes_total: int
    pids: int
    pids_total: int


def room(root: Path) -> Room:
    """What the machine has left."""
    disk = os.statvfs(root)
    running = int(_first_line("/proc/loadavg").split()[3].partition("/")[2])
    limit = min(int(_first_line("/proc/sys/kernel/pid_max")), int(_first_line("/proc/sys/kernel/threads-max")))
    return Room(
        memory=meminfo()["MemAvailable"],
        disk=disk.f_bavail * disk.f_frsize,
        disk_total=disk.f_blocks * disk.f_frsize,
        inodes=disk.f_favail,
        inodes_total=disk.f_files,
        pids=limit - running,
        pids_total=limit,
    )


def default_address(towards: str) -> str:
    """The address that packets to `towards` leave from; OSError where there is no route."""
    family = socket.AF_INET6 if ":" in towards else socket.AF_INET
    # A datagram socket that connects sends nothing; the kernel only chooses the source address.
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((towards, 9))
        return str(probe.getsockname()[0])
