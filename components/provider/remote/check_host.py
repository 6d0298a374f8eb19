"""Runs on a host before anything is placed on it: prints, as a JSON list, the reasons why roles cannot converge there.

Each reason is one clause that names what is missing; the caller puts the host's name before it. Changes nothing.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

MEBIBYTE = 1 << 20


def reasons(needs: dict[str, Any]) -> list[str]:
    """What this host lacks of `needs`: free space by path, kernel file systems, and systemd in charge."""
    found = []
    # Compared as data, since this script must be read by the very versions that it refuses.
    if tuple(sys.version_info)[:2] < tuple(needs["python"]):
        found.append(f"its python3 is {sys.version.split()[0]}, and 3.11 or newer is needed")
    if not pathlib.Path("/run/systemd/system").is_dir():
        found.append("systemd does not run it")
    free_space = needs["free_mebibytes"]
    for path, wanted in free_space.items():
        place = pathlib.Path(path)
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free // MEBIBYTE
        if free < wanted:
            found.append(f"{path} has {free} MiB free, and {wanted} MiB are needed")
    known = {line.split()[-1] for line in pathlib.Path("/proc/filesystems").read_text().splitlines()}
    filesystems = needs["filesystems"]
    found += [
        f"its kernel has no file system {name}" for name in filesystems if name not in known and not loadable(name)
    ]
    if os.statvfs("/").f_favail == 0:
        found.append("/ has no free inode")
    return found


def loadable(module: str) -> bool:
    """Whether the kernel can load a module of that name (modprobe(8), --dry-run)."""
    command = ["modprobe", "--dry-run", "--quiet", module]
    return shutil.which("modprobe") is not None and subprocess.run(command, check=False).returncode == 0


json.dump(reasons(json.load(sys.stdin)), sys.stdout)
