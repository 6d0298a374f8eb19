"""Runs on a machine before it is adopted: prints, as JSON, what it is and what is there already. Changes nothing.

The argument names what is asked for: packages, kernel modules, directories, units, accounts and ports. The answer has
the packages that are missing, the modules that can be loaded, whether each directory has content (null if it is not
there; `~` resolved), each unit's state, the accounts and listening ports among those asked, and the roles that
manifests speak of.
"""

import json
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import sys
from typing import Any

MANIFESTS = pathlib.Path("/var/lib/keelson/manifest.d")
LISTENING = "0A"
CAP_SYS_RESOURCE = 24


def output(*command: str) -> str:
    """What a command printed; empty where it failed or is not there."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout


def missing(packages: list[str]) -> list[str]:
    """The packages that are not installed (dpkg-query(1))."""
    listed = output("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages)
    installed = {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}
    return [name for name in packages if name not in installed]


def loadable(modules: list[str]) -> list[str]:
    """The modules that exist as such: those built in, and those of a container's host, are not for this machine."""
    if shutil.which("modprobe") is None:
        return []
    found = []
    for name in modules:
        shown = output("modprobe", "--show-depends", name)
        if any(line.startswith("insmod ") for line in shown.splitlines()):
            found.append(name)
    return found


def content(path: str) -> bool | None:
    """Whether any file lies below a directory; None where there is no such directory."""
    place = pathlib.Path(path)
    if not place.is_dir():
        return None
    return any(not entry.is_dir() or entry.is_symlink() for entry in place.rglob("*"))


def resolved(path: str) -> str:
    """A path with `~` as the home of the account that logged in, who may have become root by sudo(8)."""
    home = pwd.getpwnam(os.environ.get("SUDO_USER", "root")).pw_dir
    return home + path.removeprefix("~") if path.startswith("~/") else path


def state(unit: str) -> dict[str, Any]:
    """Whether a unit is there, enabled and running (systemctl(1), show)."""
    shown = output("systemctl", "show", "--property=LoadState,ActiveState,UnitFileState", "--", unit)
    properties = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    return {
        "there": properties.get("LoadState") != "not-found",
        "enabled": properties.get("UnitFileState") == "enabled",
        "active": properties.get("ActiveState") in ("active", "activating", "reloading"),
    }


def exists(account: str) -> bool:
    """Whether the machine knows an account."""
    try:
        pwd.getpwnam(account)
    except KeyError:
        return False
    return True


def listening() -> set[int]:
    """The TCP ports that anything listens on (proc_pid_net(5))."""
    ports = set()
    for table in ("tcp", "tcp6"):
        path = pathlib.Path("/proc/net", table)
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            fields = line.split()
            if fields[3] == LISTENING:
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


def controllers() -> list[str]:
    """The controllers of cgroup v2 that reach this machine's root (cgroups(7))."""
    path = pathlib.Path("/sys/fs/cgroup/cgroup.controllers")
    return sorted(path.read_text().split()) if path.exists() else []


def bounding(capability: int) -> bool:
    """Whether the first process, and so any daemon, may have a capability (proc_pid_status(5), CapBnd)."""
    for line in pathlib.Path("/proc/1/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> capability & 1)
    return False


def main() -> None:
    """Look and tell."""
    asked = json.load(sys.stdin)
    open_ports = listening()
    answer = {
        "host_name": socket.gethostname().split(".")[0],
        "architecture": output("dpkg", "--print-architecture").strip(),
        "python": list(sys.version_info[:2]),
        "cgroup_controllers": controllers(),
        "oom_score": bounding(CAP_SYS_RESOURCE),
        "packages": missing(asked["packages"]),
        "kernel_modules": loadable(asked["kernel_modules"]),
        "contents": {path: content(path) for path in map(resolved, asked["directories"])},
        "units": {unit: state(unit) for unit in asked["units"]},
        "accounts": [account for account in asked["accounts"] if exists(account)],
        "ports": [port for port in asked["ports"] if port in open_ports],
        "roles": sorted(path.stem for path in MANIFESTS.glob("*.json")),
    }
    json.dump(answer, sys.stdout)


main()
